"""The museum: errors that diffusion code really had, each as its smallest wrong form."""

from refdiff.oracle.museum import (
    churn,
    clipping,
    ddim,
    ddpm,
    descent,
    dpm,
    drifts,
    flow,
    flow_grids,
    forward,
    grids,
    inverse,
    langevin,
    laws,
    laws_sigma,
    likelihood,
    lms,
    lookups,
    losses,
    multistep,
    orders,
    precondition,
    readings,
    schedules,
    sdes,
    sigma,
    steps,
    tables,
    targets,
    timesteps,
    weights,
)


def _merged(*exhibits):
    """One exhibit an id: a bug found in several families is one bug."""
    found = {}
    for exhibit in exhibits:
        same = found.get(exhibit.id, exhibit)
        families = {**same.families, **exhibit.families}
        found[exhibit.id] = same._replace(families=families)
    return tuple(found.values())


EXHIBITS = _merged(
    *targets.EXHIBITS,
    *forward.EXHIBITS,
    *ddpm.EXHIBITS,
    *ddim.EXHIBITS,
    *inverse.EXHIBITS,
    *clipping.EXHIBITS,
    *steps.EXHIBITS,
    *schedules.EXHIBITS,
    *tables.EXHIBITS,
    *timesteps.EXHIBITS,
    *lookups.EXHIBITS,
    *grids.EXHIBITS,
    *flow_grids.EXHIBITS,
    *weights.EXHIBITS,
    *precondition.EXHIBITS,
    *sigma.EXHIBITS,
    *churn.EXHIBITS,
    *dpm.EXHIBITS,
    *multistep.EXHIBITS,
    *lms.EXHIBITS,
    *flow.EXHIBITS,
    *langevin.EXHIBITS,
    *readings.EXHIBITS,
    *laws.EXHIBITS,
    *laws_sigma.EXHIBITS,
    *sdes.EXHIBITS,
    *drifts.EXHIBITS,
    *likelihood.EXHIBITS,
    *orders.EXHIBITS,
    *losses.EXHIBITS,
    *descent.EXHIBITS,
)

"""Slips that make the same program: equal numbers for whatever a question may ask."""

POWERS = "left of Mult squared", "root of left of Mult"
OTHERS = "Div to Mult", "right of Div dropped"
SWAPPED = ("Sub swapped",)
REASONS = (  # (how the slip's text begins, how it ends, why no number can tell)
    (
        ("repaint_step: p['mask'] * ", "repaint_step: (1 - p['mask']) * "),
        POWERS,
        "the mask is 0 or 1",
    ),
    (
        (
            "logit_normal_weight: np.log(t / (1 - t)) - ",
            "elbo_terms: p['eps_hat'] - p['eps']: ",
            "elbo_terms: x0 - predicted(p, share, 0): ",
            "step_kl: p['x0'] - predicted(p, share, k): ",
            "_step_kl: p['eps_hat'][k] - p['eps'][k]: ",
            "_log_normal: x - mean: ",
        ),
        SWAPPED,
        "the difference is squared",
    ),
    (
        ("chain: root", "without_signal: root", "alpha_bars: root"),
        SWAPPED,
        "the difference changes sign, and the whole is squared",
    ),
    (("step_index: ",), SWAPPED, "the absolute value of the difference is taken"),
    (
        ("sigma_timesteps: len(",),
        ("- 1: Sub to Add", "- 2: Sub to Add"),
        "each sigma that is asked for lies in the table, whose end this guards",
    ),
    (
        ("_flow_with_trace: 1 / 64: ",),
        OTHERS,
        "the score asked for is a Gaussian's, and a line's differences are exact",
    ),
    (
        ("img2img_sampler: p['timesteps'][:1] * len(p['x0']): ",),
        ("right of Mult dropped",),
        "one time is broadcast to all rows",
    ),
    (
        ("dpmpp_2m_sampler: n - 1: ",),
        ("Sub to Add", "Sub swapped"),
        "the last step leads to no noise, and is of order 1 of itself",
    ),
    (
        ("_singlestep: grid[i + 1]: ",),
        ("index Sub 1",),
        "a step to no noise does not use what is asked for besides",
    ),
    (
        (
            "to_eps: (x + a * output) / (a + b): ",
            "data_of: (x - s * output) / (a + s): ",
            "_from_flow: noise * (signal + noise): ",
        ),
        (*OTHERS, "Mult to Div", "right of Mult dropped"),
        "flow is asked for on the straight path alone, where the two add up to 1",
    ),
    (
        ("to_x0: x / b: ", "of_pure_noise: x / noise: "),
        OTHERS,
        "where there is no signal the noise is 1",
    ),
    (
        ("_of_chain: np.sqrt(bars[p['k']]): ",),
        ("np.sqrt dropped",),
        "eps and the score, which alone are asked for, need no signal",
    ),
    (
        ("_v_of: -(signal * noise * score + noise * x0) / np.hypot(signal, noise): ",),
        OTHERS,
        "v is asked for of a chain alone, where the length is 1",
    ),
    (
        ("dpmpp_sde_2m: to.signal * data: ", "dpmpp_sde_2m: to[0] * x0: "),
        ("left of Mult dropped", *POWERS),
        "where there is no noise the signal is 1",
    ),
    (("loss_weight: np.ones_like(ratio)[k]: ",), ("index Sub 1",), "each entry is 1"),
    (("moving: np.eye(d, dtype=f) * h: ",), POWERS, "each entry is 0 or 1"),
    (
        ("adams: h * of: ",),
        ("Mult to Div", "right of Mult dropped"),
        "the rule's two weights are both 1",
    ),
    (
        ("adams: 1 + at: ",),
        ("Add to Sub",),
        "the rule's two nodes are each other's negative, and weigh the same",
    ),
    (
        ("real: isinstance(v, np.ndarray): ",),
        ("arguments swapped",),
        "each question names its dtype, and nothing comes here",
    ),
    (
        ("_eps_of_data: 0 * output: ",),
        ("",),
        "the score is not asked for where there is no noise",
    ),
)


def reason(slip):
    """Why a slip makes the same program, or ""."""
    fitting = (w for a, z, w in REASONS if slip.startswith(a) and slip.endswith(z))
    return next(fitting, "")

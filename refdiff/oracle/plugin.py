"""The vectors as tests of somebody's own suite: `pytest --refdiff-target mylib:adapter`.

Every vector is a test with its id, without any test file. What the target does not have
is skipped; ids in the file of --refdiff-xfail are expected to fail.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("refdiff", "diffusion code against refdiff's oracle")
    add = group.addoption
    add(
        "--refdiff-target",
        metavar="M:A",
        help="a Python adapter: package.module:adapter",
    )
    add("--refdiff-cmd", metavar="CMD", help="a program that speaks JSON lines")
    add("--refdiff-family", action="append", default=[], help="only this family")
    add(
        "--refdiff-xfail", metavar="FILE", help="ids that are known to fail, one a line"
    )
    add("--refdiff-vectors", metavar="DIR", help="vectors of `refdiff vectors`")
    add("--refdiff-dtype", help="judged in this one (what the target says)")
    add("--refdiff-timeout", type=float, default=10.0, help="seconds a request (10)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list
) -> None:
    """Add one test a vector, before -k and -m choose among all."""
    target, command = config.option.refdiff_target, config.option.refdiff_cmd
    if target or command:
        collector = Vectors.from_parent(session, name="refdiff", nodeid="refdiff")
        items.extend(collector.collect())


class Vectors(pytest.Collector):
    """All vectors, and the process that answers them."""

    def collect(self) -> list:
        """One item a vector; a usage error if the target cannot be asked."""
        from refdiff.oracle import check, command

        option = self.config.option
        names = option.refdiff_target, option.refdiff_cmd, option.refdiff_timeout
        try:
            asked = command.documents(option.refdiff_vectors, option.refdiff_family)
            expect = command.known_failures(option.refdiff_xfail)
            if unknown := command.unknown_ids(
                expect, asked, command.files(option.refdiff_vectors)
            ):
                raise ValueError(f"no vector is named {unknown[0]}")
            target = command.child(*names)
            said = check.capabilities(
                target, [d["family"] for d in asked], option.refdiff_dtype
            )
        except (ValueError, OSError) as error:
            raise pytest.UsageError(f"refdiff: {error}") from error
        if said.faults:
            raise pytest.UsageError(f"refdiff: {'; '.join(said.faults)}")
        self.config.add_cleanup(target.close)
        self.asking = check.Asking(target, said)
        return [
            self._item(document, vector, expect)
            for document in asked
            for vector in document["vectors"]
        ]

    def _item(self, document, vector, expect):
        item = Vector.from_parent(self, name=vector["id"])
        item.document, item.vector = document, vector
        if vector["id"] in expect:
            item.add_marker(pytest.mark.xfail(reason="expected", strict=False))
        return item


class Different(Exception):
    """A vector that the target does not answer rightly."""


class Vector(pytest.Item):
    """One question to the target."""

    def runtest(self) -> None:
        """Ask, and fail with what a verdict would say."""
        document, vector, asking = self.document, self.vector, self.parent.asking
        if not asking.offers(document):
            pytest.skip("not covered")
        if asking.given_up(document):
            pytest.fail("not asked: the target died too often", pytrace=False)
        found = asking.vector(document, vector)
        if found.status == "not covered":
            pytest.skip(found.text)
        if found.failed:
            raise Different("\n".join([found.text, *_words(document, found)]))

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo, style: str | None = None
    ) -> str:
        """A failure is its text; what is no difference has a traceback."""
        if isinstance(excinfo.value, Different):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple:
        """Under its id."""
        return self.path, None, self.name


def _words(document, found):
    """What the wrong forms are whose number this is."""
    exhibits = document.get("exhibits", {})
    for name in found.matches:
        words = exhibits.get(name, {})
        kind = "convention" if words.get("grade") == "convention" else "number of"
        yield f"this is the {kind} {name}: {words.get('wrong')}; " + (
            f"right is {words.get('right')}  {words.get('link')}".rstrip()
        )

"""Assert what a wheel and an sdist hold: the six packages, their data, and no stray top-level name."""

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGES = {"cyclewright", "workloads", "hwspecs", "mappings", "ilp", "simulator"}
SDIST_EXTRA = {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
MUST_HOLD = ("hwspecs/library/gpu/nvidia-h100-sxm.yaml", "cyclewright/py.typed", "cyclewright/claims/")


def wheel_names(path: Path) -> list[str]:
    """Members of a wheel."""
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def sdist_names(path: Path) -> list[str]:
    """Members of an sdist below its one top folder."""
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames() if "/" in name]


def check(path: Path) -> None:
    """Exit with a message if the distribution holds too little or too much."""
    is_wheel = path.suffix == ".whl"
    names = wheel_names(path) if is_wheel else sdist_names(path)
    tops = {name.split("/")[0] for name in names}
    allowed = PACKAGES | ({top for top in tops if top.endswith(".dist-info")} if is_wheel else SDIST_EXTRA)
    if stray := tops - allowed:
        sys.exit(f"{path.name}: stray top-level names {sorted(stray)}")
    if missing := PACKAGES - tops:
        sys.exit(f"{path.name}: missing packages {sorted(missing)}")
    for wanted in MUST_HOLD:
        if not any(name.startswith(wanted) for name in names):
            sys.exit(f"{path.name}: holds no {wanted}")
    print(f"{path.name}: {len(names)} files, top level {sorted(tops)}")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        check(Path(argument))

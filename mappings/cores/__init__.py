"""Several equal cores: an operator cut into slices, one per core, and the cores' dataflow graphs joined into one."""

from mappings.cores.splitter import Splitter, on_more_cores
from mappings.cores.view import cores_of, one_core, with_cores

__all__ = ["Splitter", "cores_of", "on_more_cores", "one_core", "with_cores"]

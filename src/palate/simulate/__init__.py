"""The simulated service, and its truth.

`simulate` makes one from a `SimulationConfig`, in memory; `simulate_to` writes one of any size as a data folder with
the truth apart. `Oracle` scores plays with what only the simulator knows, `FilterOracle` with what can be known.
"""

from palate.simulate.config import SimulationConfig, preset
from palate.simulate.filter import FilterConfig, FilterOracle
from palate.simulate.oracle import Knowledge, Oracle
from palate.simulate.shards import useful_processes
from palate.simulate.simulation import Simulation, simulate, simulate_to

__all__ = [
    "FilterConfig",
    "FilterOracle",
    "Knowledge",
    "Oracle",
    "Simulation",
    "SimulationConfig",
    "preset",
    "simulate",
    "simulate_to",
    "useful_processes",
]

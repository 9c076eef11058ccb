"""The simulated service, and its truth.

`simulate` makes one from a `SimulationConfig`; `Simulation.write` writes it as a data folder with the truth apart;
`Oracle` scores plays with what only the simulator knows.
"""

from palate.simulate.config import SimulationConfig, preset
from palate.simulate.filter import FilterConfig, FilterOracle
from palate.simulate.oracle import Knowledge, Oracle
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
]

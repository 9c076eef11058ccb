"""Train, choose by validation, look at the test part once: `make bench-ml1m`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import bench

if __name__ == "__main__":
    bench("ml-1m", Path(__file__).parent)

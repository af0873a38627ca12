"""Times one case of the benchmark: ``python experiments/bench_case.py CASE``, a case as JSON.

``bench.py`` starts it, so that each case has a process of its own. The figures are the last line on
stdout, as JSON too.
"""

import json
import sys

from benchmarks.cases import Case
from benchmarks.timing import figures_of

if __name__ == "__main__":
    print(json.dumps(figures_of(Case(**json.loads(sys.argv[1])))))

"""Demo pictures: a procedural generator of electronic assemblies, good and defective.

One product, a small sensor board seen by an inspection camera. Each picture is drawn from a
seed: the parts' placement, the solder, lot codes, dust, light, alignment and noise vary as they
do between good boards; a defect changes the unit before it is drawn, and its mask is where the
picture changed. The same seed gives the same pixels everywhere.
"""

from ml.data.assemblies.defects import KINDS
from ml.data.assemblies.writer import Sample, defective_sample, generate, good_sample

__all__ = ["KINDS", "Sample", "defective_sample", "generate", "good_sample"]

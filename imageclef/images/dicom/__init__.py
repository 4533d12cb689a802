"""DICOM files become pictures: what they are called, what is kept of them, and their grey values.

pydicom's warnings and logs quote elements, which would carry a name to the screen or into a log file. What
matters of them is a refusal here, so that they are turned off with the first import.
"""

import logging
import warnings

warnings.filterwarnings("ignore", module="pydicom")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

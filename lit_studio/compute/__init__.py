"""What this machine has and who uses it: devices, host memory and CPU, process trees.

It must not know of Jupyter or of training: it is asked about process ids and answers in percent and bytes.
"""

from lit_studio.compute.devices import Device, Meter, Reading
from lit_studio.compute.host import Host
from lit_studio.compute.processes import ProcessUse

__all__ = ["Device", "Host", "Meter", "ProcessUse", "Reading"]

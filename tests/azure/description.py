"""What the virtual machine is, as Azure would know it: the description that IMDS, WireServer and the CD are made from.

A JSON object; every key has a default, so `{}` is a machine. Paths are not read from it: user data and custom data are
the texts themselves, or come from files named on the command line.
"""

import base64
import dataclasses
import json
import os
import re
import uuid

from faults import Mistake

# What the control plane takes: 64 KiB less one byte, as base64.
CUSTOM_DATA_MAX = 87380
DISCS = ("udf", "iso9660", "none")
PPS_TYPES = ("None", "Running", "Savable", "PreprovisionedOSDisk", "Unknown")
# Version 5 UUIDs of the box are derived from here.
NAMESPACE = uuid.UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def encode(data, what):
    text = base64.b64encode(data).decode()
    if len(text) > CUSTOM_DATA_MAX:
        raise Mistake(f"{what}: {len(text)} characters of base64; Azure takes {CUSTOM_DATA_MAX}")
    return text


@dataclasses.dataclass
class Description:
    vmId: str = None
    name: str = "slipway"
    adminUsername: str = "core"
    password: str = None  # Azure puts it on the CD, where it may be read
    publicKeys: list = dataclasses.field(default_factory=list)
    userData: str = ""
    customData: str = None
    tags: dict = dataclasses.field(default_factory=dict)
    location: str = "eastus2"
    vmSize: str = "Standard_D2ds_v5"
    disc: str = "udf"
    preprovisioned: str = "None"
    dataDisks: list = dataclasses.field(default_factory=list)  # sizes in GiB; the index is the LUN
    securityType: str = "TrustedLaunch"
    incarnation: int = 1
    faults: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        if self.disc not in DISCS:
            raise Mistake(f"disc: '{self.disc}' is not one of {', '.join(DISCS)}")
        if self.preprovisioned not in PPS_TYPES:
            raise Mistake(f"preprovisioned: '{self.preprovisioned}' is not one of {', '.join(PPS_TYPES)}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}", self.name):
            raise Mistake(f"name: '{self.name}' is no host name")
        self.vmId = str(uuid.UUID(self.vmId)) if self.vmId else str(uuid.uuid4())
        self.set_user_data(self.userData.encode())
        self.set_custom_data(None if self.customData is None else self.customData.encode())

    def set_user_data(self, data):
        self.user_data = encode(data, "user data")

    def set_custom_data(self, data):
        self.custom_data = data
        self.custom_data_base64 = None if data is None else encode(data, "custom data")

    address, subnet, gateway = "10.0.2.15", "10.0.2.0", "10.0.2.2"  # as QEMU's user network has them

    @property
    def mac(self):
        """Microsoft's prefix, and what makes machines differ."""
        return "00:0d:3a:" + ":".join(re.findall("..", self.derived("mac")[:6]))

    def derived(self, role):
        return str(uuid.uuid5(NAMESPACE, f"{self.vmId} {role}"))

    def instance_id(self):
        return f"{self.derived('deployment')[:8]}._{self.name}"


def load(path=None, disk=None):
    """The description in a file; None: one of defaults. Without an id it is the same machine for the same disk."""
    value = {}
    if path:
        try:
            with open(path, encoding="utf-8") as f:
                value = json.load(f)
        except ValueError as e:
            raise Mistake(f"{path}: {e}") from None
    if not isinstance(value, dict):
        raise Mistake(f"{path}: not an object")
    unknown = set(value) - {f.name for f in dataclasses.fields(Description)}
    if unknown:
        raise Mistake(f"{path}: unknown: {', '.join(sorted(unknown))}")
    if disk and "vmId" not in value:
        value["vmId"] = str(uuid.uuid5(NAMESPACE, os.path.realpath(disk)))
    return Description(**value)

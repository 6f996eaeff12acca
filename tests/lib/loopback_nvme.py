"""NVMe disks in a guest that has none: the kernel's own NVMe target, connected to itself, with a controller of
the model that is asked for and namespaces of chosen numbers."""

import base64

NQN = "slipway-proof"
CONFIG = "/sys/kernel/config"
TARGET = f"{CONFIG}/nvmet"
MIB = 1 << 20
# A partition table (MBR) with one partition of 256 blocks behind 256 others: of 512 bytes, or of 4096, as files have them.
PARTITION_TABLE = bytes(446) + bytes([0, 0, 2, 0, 0x83, 0, 2, 0]) + (256).to_bytes(4, "little") * 2 + bytes(48) + b"\x55\xaa"


def script(model, namespaces):
    """A shell script that makes them; nothing else than the guest's kernel is needed."""
    lines = ["set -e", "modprobe nvmet", "modprobe nvme-loop",
             f"mountpoint -q {CONFIG} || mount -t configfs configfs {CONFIG}",
             f"cd {TARGET}/subsystems", f"mkdir {NQN}", f"cd {NQN}", "echo 1 >attr_allow_any_host",
             f"echo -n '{model}' >attr_model"]
    for number in namespaces:
        image = f"/var/tmp/namespace-{number}"
        lines += [f"echo {base64.b64encode(PARTITION_TABLE).decode()} | base64 -d >{image}",
                  f"truncate -s {4 * MIB} {image}", f"mkdir namespaces/{number}",
                  f"echo -n {image} >namespaces/{number}/device_path", f"echo 1 >namespaces/{number}/enable"]
    lines += [f"mkdir {TARGET}/ports/1", f"echo loop >{TARGET}/ports/1/addr_trtype",
              f"ln -s {TARGET}/subsystems/{NQN} {TARGET}/ports/1/subsystems/{NQN}",
              f"echo transport=loop,nqn={NQN} >/dev/nvme-fabrics", "udevadm settle --timeout=60"]
    return "\n".join(lines)

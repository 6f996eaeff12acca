#!/usr/bin/env python3
"""slipway plan --for azure: one thing that an image lacks after the other, on a tiny image."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import tiny
from kernel_config import FRAGMENTS, options

MODULES = f"usr/lib/modules/{tiny.KERNEL}"
# As files of the kernel's package; "-" and "_" are the same. The rest is built in.
FILES = ("hv_netvsc", "hv_utils", "mana", "mlx5_core", "mlx4_en", "udf", "isofs")
INITRD = ("hv_vmbus", "hv-storvsc", "pci_hyperv", "nvme")
BUILT_IN = ("kernel/drivers/scsi/sd_mod.ko", "kernel/drivers/scsi/sr_mod.ko")
UNIT = "[Service]\nExecStart=/usr/bin/hello\n[Install]\nWantedBy=multi-user.target\n"
PRESENT = {
    "usr/bin/ignition": "", "usr/libexec/slipway-azure": "", "usr/sbin/sshd": "",
    "usr/etc/ssh/sshd_config.d/50-azure.conf": "",
    "usr/lib/udev/rules.d/81-slipway-azure-disk.rules": "",
    "usr/lib/systemd/network/10-azure-virtual-function.network": "",
    "usr/lib/systemd/system/slipway-azure.service": UNIT, "usr/lib/systemd/system/chrony.service": UNIT,
}


def config(**changed):
    """A kernel's configuration with all that the fragment for Hyper-V asks for."""
    wanted = {o.name: o.value for path in FRAGMENTS if path.stem == "hyperv" for o in options(path)} | changed
    return "".join(f"{name}={value}\n" for name, value in wanted.items() if value)


def linux_image(without=(), **changed):
    files = {f"boot/vmlinuz-{tiny.KERNEL}": tiny.noise(50000, 2), f"boot/config-{tiny.KERNEL}": config(**changed).encode()}
    present = [name for name in (*FILES, *INITRD, "tiny") if name not in without]
    files |= {f"{MODULES}/kernel/{name}.ko": tiny.kernel_module(name.replace("-", "_")) for name in present}
    files[f"{MODULES}/modules.order"] = "".join(f"kernel/{name}.ko\n" for name in present).encode()
    files[f"{MODULES}/modules.builtin"] = "".join(f"{line}\n" for line in BUILT_IN if line not in without).encode()
    return tiny.make_deb("linux-image", "6.1", files)


class PlanFor(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.key = cls.enterClassContext(tiny.Key())
        cls.tiny = cls.enterClassContext(tiny.Tiny(cls.key))

    def setUp(self):
        t = self.tiny
        t.add(linux_image())
        t.manifest |= {"outputs": ["vhd"], "trust": {}}
        t.files = dict(PRESENT)
        t.layer["initrd"]["modules"] = list(INITRD)
        t.layer["kernel"]["options"] = ["quiet", "console=ttyS0"]
        t.layer["units"] = {"enable": ["slipway-azure.service", "chrony.service"]}

    def plan(self, *options):
        self.tiny.write()
        return self.tiny.slipway("plan", self.tiny.manifest_path, "--for", "azure", *options)

    def check(self, wrong, says=None):
        """Exactly those checks do not hold; `wrong` is {name: state}."""
        done = self.plan("--json")
        self.assertEqual(done.stderr, "")
        rows = json.loads(done.stdout)["checks"]
        self.assertEqual({row["check"]: row["state"] for row in rows if row["state"] != "ok"},
                         {"Trusted Launch": "warning"} | wrong)
        self.assertEqual(done.returncode, 1 if "refused" in wrong.values() else 0)
        if says:
            self.assertRegex(next(row["text"] for row in rows if row["check"] in wrong), says)

    def test_everything(self):
        self.check({})

    def test_text(self):
        done = self.plan()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"(?m)^ok       disk size            whole MiB, .*134217728 bytes$")
        self.assertRegex(done.stdout, r"(?m)^warning  Trusted Launch  .*turn Secure Boot off")
        self.assertRegex(done.stdout, r"azure: \d\d ok, warnings: 1, refused: 0\n\Z")

    def test_files(self):
        """Each file that is not there is missed."""
        missed = {"usr/bin/ignition": ("provisioning", "refused"), "usr/libexec/slipway-azure": ("agent", "refused"),
                  "usr/sbin/sshd": ("ssh", "refused"),
                  "usr/etc/ssh/sshd_config.d/50-azure.conf": ("ssh keep-alive", "warning"),
                  "usr/lib/udev/rules.d/81-slipway-azure-disk.rules": ("disk names", "warning"),
                  "usr/lib/systemd/network/10-azure-virtual-function.network": ("virtual functions", "warning")}
        for path, (name, state) in missed.items():
            with self.subTest(path):
                self.tiny.files = {p: text for p, text in PRESENT.items() if p != path}
                self.check({name: state}, f"/{path} is not in the image$")

    def test_units(self):
        self.tiny.layer["units"] = {"enable": ["chrony.service"], "disable": ["slipway-azure.service"]}
        self.check({"agent's unit": "refused"}, "slipway-azure.service is not enabled")
        self.tiny.layer["units"] = {"enable": ["slipway-azure.service"], "disable": ["chrony.service"]}
        self.check({"clock": "warning"})

    def test_modules(self):
        self.tiny.add(linux_image(without=("mana", "hv_utils", "isofs")))
        self.check({"module mana": "refused", "module hv_utils": "refused", "module isofs": "warning"},
                   "not in the image, and not built into its kernel")

    def test_initrd(self):
        self.tiny.layer["initrd"]["modules"] = ["hv-vmbus", "nvme"]
        self.check({"initrd hv_storvsc": "refused", "initrd pci-hyperv": "refused"}, "no layer puts it into the initrd")

    def test_built_in(self):
        self.tiny.add(linux_image(without=BUILT_IN[:1]))
        self.check({"initrd sd_mod": "refused"})

    def test_kernel(self):
        self.tiny.add(linux_image(CONFIG_HYPERV=None, CONFIG_MLX5_CORE_EN="n", CONFIG_HYPERV_BALLOON=None))
        self.check({"kernel": "refused"}, r"CONFIG_HYPERV is not m or y \(the bus\), "
                                          r"CONFIG_MLX5_CORE_EN is not y \(accelerated networking\)$")

    def test_kernel_without(self):
        self.tiny.add(tiny.linux_image())
        self.tiny.layer["initrd"]["modules"] = ["tiny"]
        done = self.plan("--json")
        rows = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
        self.assertEqual(rows["kernel"]["state"], "refused")
        self.assertIn("its configuration is not known: ", rows["kernel"]["text"])

    def test_console(self):
        self.tiny.layer["kernel"]["options"] = ["quiet"]
        self.check({"console": "refused"}, '"console=ttyS0" is not on the kernel command line')
        self.tiny.manifest["kernel"] = {"options": ["console=ttyS0"]}
        self.addCleanup(self.tiny.manifest.pop, "kernel")
        self.check({})

    def test_swap(self):
        for path, text in (("usr/etc/fstab", "# none swap\n\n/dev/vda9 none swap sw 0 0\n"),
                           ("usr/etc/systemd/system/dev-vda9.swap", "[Swap]\nWhat=/dev/vda9\n")):
            with self.subTest(path):
                self.tiny.files = PRESENT | {path: text}
                self.check({"swap": "refused"})
        self.tiny.files = PRESENT | {"usr/etc/fstab": "# /dev/vda9 none swap sw 0 0\n/dev/vda8 /srv ext4\n"}
        self.check({})

    def test_output(self):
        self.tiny.manifest["outputs"] = ["raw"]
        self.check({"output": "warning"}, '"outputs" has no "vhd"')

    def test_unknown(self):
        self.tiny.write()
        done = self.tiny.slipway("plan", self.tiny.manifest_path, "--for", "moon")
        self.assertEqual(done.returncode, 2)
        self.assertIn("no platform 'moon'; there is: azure", done.stderr)


if __name__ == "__main__":
    unittest.main()

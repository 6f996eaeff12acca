#!/usr/bin/env python3
"""Volumes bound to real tang servers by the real clevis, in User-mode Linux; clevis and cryptsetup are the witnesses.

Two servers: of one all is known before (its advertisement is in the configuration), the other is asked, and comes late.
Each volume says how many of them are needed; which of them run decides whether clevis opens it."""

import json
import pathlib
import shutil
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT / "tests" / "lib"), str(PROJECT / "tests" / "boot")]
import slipway
import uml

MODULES = ("cbc", "ecb", "xts", "dm-crypt", "algif_skcipher")
QUICK_KEY = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
TANGD, KEYGEN = "/usr/libexec/tangd", "/usr/libexec/tangd-keygen"
ASKED, KNOWN = 8085, 8086
# One script, in parts; a short proof leaves some out: each process takes long there where faults do.
PROVISION = """\
set -eux
export IGNITION_DEVICE_TIMEOUT=20
ip link set lo up
ln -s /proc/self/fd /dev/fd
mkdir -p /run/root
serve() {{ exec socat TCP-LISTEN:$1,bind=127.0.0.1,fork,reuseaddr EXEC:"{tangd} {dir}/$1"; }}
run() {{ IGNITION_CONFIG_FILE={dir}/$1 {ignition} --platform=file --log-to-stdout --root=/run/root --config-cache=/run/cache.$1 --state-file=/run/state.$1 --neednet=/run/neednet --stage=$2; }}
opens() {{ clevis luks unlock -d $1 -n witness && cryptsetup close witness; }}
slots() {{ cryptsetup luksDump --dump-json-metadata $1 | jose fmt -j- -Og keyslots -o- | grep -o '"kdf"' | wc -l; }}

# One of the two servers is up at once, the other never: it is not asked.
(sleep 2; serve {asked}) &
asked=$!
run config fetch
run config disks
# The machine opened them itself, where the servers it could ask were enough.
test -e /dev/mapper/any
"""
# Cut off: another attempt begins.
AGAIN = """\
run config disks
test -e /dev/mapper/any
test -e /dev/mapper/custom
"""
FINISH = """\
run config files
run config umount
cat /run/root/etc/crypttab
for name in {names}; do
    grep -x "$name UUID=[-0-9a-f]* none luks,_netdev,x-initrd.attach" /run/root/etc/crypttab
    if test -e /run/root/etc/luks/$name; then exit 1; fi
    cryptsetup close $name
done

# A given key stays beside that of clevis, a generated one goes.
test "$(slots {any})" = 2
test "$(slots {all})" = 1
printf passphrase | cryptsetup open --test-passphrase --key-file=- {any}
"""
# As clevis tells it; which servers must run for it shows as well.
LISTED = """\
clevis luks list -d {any} | grep -F '1: sss '
clevis luks list -d {all} | grep -F '"t":2'
clevis luks list -d {custom} | grep -F '1: tang '
test "$(slots {custom})" = 1
"""
# The asked server alone; then both; then the known one alone; then none.
ALL_OPEN = """\
opens {any}
opens {custom}
clevis luks pass -d {custom} -s 1 | cryptsetup open --test-passphrase --key-file=- {custom}
"""
BOTH_OPEN = """\
if opens {all}; then exit 1; fi
serve {known} &
known=$!
while ! curl -s -o /dev/null http://127.0.0.1:{known}/adv; do sleep 0.2; done
opens {all}
kill $asked
while curl -s -o /dev/null http://127.0.0.1:{asked}/adv; do sleep 0.2; done
"""
NONE_OPEN = """\
opens {any}
if opens {all}; then exit 1; fi
if opens {custom}; then exit 1; fi
kill $known
while curl -s -o /dev/null http://127.0.0.1:{known}/adv; do sleep 0.2; done
if opens {any}; then exit 1; fi
"""
# A server that is not the one that was meant.
IMPOSTOR = """\
serve {asked} &
run impostor fetch
if run impostor disks >/run/said 2>&1; then cat /run/said; exit 1; fi
cat /run/said
grep 'Setting: *\$.storage.luks.0,' /run/said
grep 'Reason: *clevis: exit status 1' /run/said
echo PROVED
"""
SHORT = [PROVISION, FINISH, BOTH_OPEN, IMPOSTOR]
WHOLE = [PROVISION, AGAIN, FINISH, LISTED, ALL_OPEN, BOTH_OPEN, NONE_OPEN, IMPOSTOR]


def server(directory, port):
    """Keys of a server; the thumbprint by which they are known, and its signed advertisement."""
    keys = directory / str(port)
    keys.mkdir()
    subprocess.run([KEYGEN, str(keys)], check=True, capture_output=True)
    asked = subprocess.run([TANGD, str(keys)], input=b"GET /adv HTTP/1.1\r\n\r\n", check=True, capture_output=True).stdout
    advertisement = asked.split(b"\r\n\r\n", 1)[1].decode()
    for key in keys.glob("*.jwk"):
        if "verify" in json.loads(key.read_text())["key_ops"]:
            done = subprocess.run(["jose", "jwk", "thp", "-a", "S256", "-i", str(key)], check=True, capture_output=True, text=True)
            return done.stdout.strip(), advertisement
    raise AssertionError(f"no signing key in {keys}")


def volume(name, device, **more):
    return {"name": name, "device": device, "options": QUICK_KEY, **more}


def main():
    directory = slipway.scratch()
    try:
        thumbprint, _ = server(directory, ASKED)
        known, advertisement = server(directory, KNOWN)
        asked = {"url": f"http://127.0.0.1:{ASKED}", "thumbprint": thumbprint}
        tang = [asked, {"url": f"http://127.0.0.1:{KNOWN}/", "thumbprint": known, "advertisement": advertisement}]
        devices = {"any": "/dev/ubda", "all": "/dev/ubdb", "custom": "/dev/ubdc"}
        volumes = [
            volume("any", devices["any"], keyFile={"source": "data:,passphrase"}, clevis={"threshold": 1, "tang": tang}),
            volume("all", devices["all"], clevis={"threshold": 2, "tang": tang}),
            volume("custom", devices["custom"], clevis={"custom": {"pin": "tang", "needsNetwork": True, "config": json.dumps(
                {"url": asked["url"], "thp": thumbprint})}})][:2 if slipway.QUICK else 3]
        config, names = {"luks": volumes}, " ".join(v["name"] for v in volumes)
        impostor = {"luks": [volume("other", "/dev/ubdd", clevis={"tang": [{**asked, "thumbprint": known}]})]}
        for name, storage in (("config", config), ("impostor", impostor)):
            (directory / name).write_text(json.dumps({"ignition": {"version": "3.4.0"}, "storage": storage}))
        script = "".join(SHORT if slipway.QUICK else WHOLE).format(dir=directory, ignition=slipway.IGNITION, tangd=TANGD,
                                                                   asked=ASKED, known=KNOWN, names=names, **devices)
        uml.prove(script, directory, "abcd", 64 << 20, MODULES, 1400)
        print("volumes bound to tang servers are opened by clevis with as many servers as the configuration says, not with fewer")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()

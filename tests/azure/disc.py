"""The CD-ROM that Azure puts into a new virtual machine: ovf-env.xml, and CustomData.bin where there is custom data.

As a file system it is UDF (ECMA-167 with OSTA's UDF 1.02) or ISO 9660 with Joliet names, written here: both are a handful
of structures when a disc has one directory and is never changed. The same files make the same bytes.
"""

import binascii
import struct
from xml.sax.saxutils import escape

BLOCK = 2048
LABEL = "rd_rdfe_stable"
FILES_MAX = 8


# ---- what is on it ----

def environment(d):
    def element(name, value):
        return f"<{name}>{escape(value)}</{name}>" if value is not None else ""

    keys = "".join(f"<PublicKey><Fingerprint/><Path>/home/{escape(d.adminUsername)}/.ssh/authorized_keys</Path>"
                   f"<Value>{escape(key)}</Value></PublicKey>" for key in d.publicKeys)
    settings = "".join(element(*pair) for pair in (
        ("KmsServerHostname", "kms.core.windows.net"), ("ProvisionGuestAgent", "false")))
    later = "".join(element(*pair) for pair in (
        ("RetainWindowsPEPassInUnattend", "true"), ("RetainOfflineServicingPassInUnattend", "true"),
        ("PreprovisionedVm", "false" if d.preprovisioned == "None" else "true"),
        ("PreprovisionedVMType", d.preprovisioned), ("EnableTrustedImageIdentifier", "false"),
        ("ProvisionGuestProxyAgent", "false")))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<ns0:Environment xmlns="http://schemas.microsoft.com/windowsazure" '
        'xmlns:ns0="http://schemas.dmtf.org/ovf/environment/1" xmlns:ns1="http://schemas.microsoft.com/windowsazure" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        "<ns1:ProvisioningSection><ns1:Version>1.0</ns1:Version><LinuxProvisioningConfigurationSet>"
        "<ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>"
        + element("UserName", d.adminUsername) + element("UserPassword", d.password)
        + element("DisableSshPasswordAuthentication", "false" if d.password else "true") + element("HostName", d.name)
        + element("CustomData", d.custom_data_base64) + (f"<SSH><PublicKeys>{keys}</PublicKeys></SSH>" if keys else "")
        + "</LinuxProvisioningConfigurationSet></ns1:ProvisioningSection>"
        "<ns1:PlatformSettingsSection><ns1:Version>1.0</ns1:Version><PlatformSettings>"
        + settings + '<GuestAgentPackageName xsi:nil="true"/>' + later
        + "</PlatformSettings></ns1:PlatformSettingsSection></ns0:Environment>\n").encode()


def files(d):
    found = [("ovf-env.xml", environment(d))]
    if d.custom_data is not None:
        found.append(("CustomData.bin", d.custom_data))
    return found


def image(d):
    """The bytes of the disc; none where there is no disc."""
    writer = {"udf": udf, "iso9660": iso9660, "none": lambda _: b""}[d.disc]
    return writer(files(d))


class Blocks(dict):
    """Blocks by number; what is not set is zeros."""

    def put(self, at, data):
        for i in range(0, len(data), BLOCK):
            self[at + i // BLOCK] = data[i:i + BLOCK]

    def join(self, count):
        return b"".join(self.get(i, b"").ljust(BLOCK, b"\0") for i in range(count))


def blocks_of(data):
    return (len(data) + BLOCK - 1) // BLOCK


# ---- UDF ----

PRIMARY, ANCHOR, IMPLEMENTATION, PARTITION, LOGICAL, UNALLOCATED, TERMINATING, INTEGRITY = 1, 2, 4, 5, 6, 7, 8, 9
FILE_SET, FILE_IDENTIFIER, FILE_ENTRY = 256, 257, 261
DIRECTORY, REGULAR = 4, 5
SEQUENCE, SECOND_SEQUENCE, INTEGRITY_AT, ANCHOR_AT, PARTITION_AT = 32, 48, 64, 256, 257
SEQUENCE_SIZE = 16 * BLOCK
ROOT_ENTRY, ROOT_DATA, FIRST_ENTRY = 2, 3, 4  # blocks of the partition; the file set is in 0
STAMP = struct.pack("<HHBBBBBBBB", 1 << 12, 2024, 1, 1, 0, 0, 0, 0, 0, 0)
CHARSET = b"\0" + b"OSTA Compressed Unicode".ljust(63, b"\0")


def tagged(kind, location, body):
    crc = binascii.crc_hqx(body, 0)
    tag = struct.pack("<HHBBHHHI", kind, 2, 0, 0, 0, crc, len(body), location)
    return tag[:4] + bytes([sum(tag) & 0xFF]) + tag[5:] + body


def dstring(text, size):
    data = b"\x08" + text.encode("latin-1")
    return data.ljust(size - 1, b"\0") + bytes([len(data)])


def entity(name, suffix=b""):
    return b"\0" + name.encode().ljust(23, b"\0") + suffix.ljust(8, b"\0")


DOMAIN = entity("*OSTA UDF Compliant", b"\x02\x01\x03")  # revision 1.02, not to be written
WRITER = entity("*Slipway")


def long_ad(length, block):
    return struct.pack("<IIH6x", length, block, 0)


def volume_sequence(at, size):
    """Descriptors of a volume whose one partition has so many blocks."""
    def primary():
        return struct.pack("<II", 0, 0) + dstring(LABEL, 32) + struct.pack("<HHHHII", 1, 1, 2, 2, 1, 1) + \
            dstring(f"0000000000000000{LABEL}", 128) + CHARSET + CHARSET + bytes(16) + entity("*Slipway") + STAMP + \
            WRITER + bytes(64 + 4 + 2 + 22)

    def implementation():
        return struct.pack("<I", 1) + entity("*UDF LV Info", b"\x02\x01") + CHARSET + dstring(LABEL, 128) + \
            dstring("", 36) * 3 + WRITER + bytes(128)

    def logical():
        return struct.pack("<I", 2) + CHARSET + dstring(LABEL, 128) + struct.pack("<I", BLOCK) + DOMAIN + \
            long_ad(BLOCK, 0) + struct.pack("<II", 6, 1) + WRITER + bytes(128) + \
            struct.pack("<II", 2 * BLOCK, INTEGRITY_AT) + struct.pack("<BBHH", 1, 6, 1, 0)

    def partition():
        return struct.pack("<IHH", 3, 1, 0) + entity("+NSR02") + bytes(128) + \
            struct.pack("<III", 1, PARTITION_AT, size) + WRITER + bytes(128 + 156)

    descriptors = ((PRIMARY, primary()), (IMPLEMENTATION, implementation()), (LOGICAL, logical()),
                   (PARTITION, partition()), (UNALLOCATED, struct.pack("<II", 4, 0)), (TERMINATING, bytes(496)))
    return b"".join(tagged(kind, at + i, body).ljust(BLOCK, b"\0") for i, (kind, body) in enumerate(descriptors))


def integrity(size, count):
    use = WRITER + struct.pack("<IIHHH", count, 1, 0x102, 0x102, 0x102)
    return tagged(INTEGRITY, INTEGRITY_AT, STAMP + struct.pack("<I", 1) + bytes(8) +
                  struct.pack("<Q24x", 16 + count) + struct.pack("<IIII", 1, len(use), 0, size) + use)


def file_set():
    return tagged(FILE_SET, 0, STAMP + struct.pack("<HHIIII", 3, 3, 1, 1, 0, 0) + CHARSET + dstring(LABEL, 128) +
                  CHARSET + dstring(LABEL, 32) + bytes(64) + long_ad(BLOCK, ROOT_ENTRY) + DOMAIN + bytes(16 + 48))


def file_entry(block, kind, size, data_block, number):
    ad = struct.pack("<II", size, data_block) if size else b""
    readable = 0x14A5 if kind == DIRECTORY else 0x1084
    return tagged(FILE_ENTRY, block, struct.pack("<IHHHBB6xH", 0, 4, 0, 1, 0, kind, 0) + struct.pack(
        "<IIIHBBIQQ", 0, 0, readable, 1, 0, 0, 0, size, (size + BLOCK - 1) // BLOCK) + STAMP * 3 +
        struct.pack("<I", 1) + bytes(16) + WRITER + struct.pack("<QII", number, 0, len(ad)) + ad)


def file_identifier(entry_block, flags, name, number):
    text = b"\x08" + name.encode("latin-1") if name else b""
    body = struct.pack("<HBB", 1, flags, len(text)) + struct.pack("<IIHHI", BLOCK, entry_block, 0, 0, number) + \
        struct.pack("<H", 0) + text
    return tagged(FILE_IDENTIFIER, ROOT_DATA, body.ljust((16 + len(body) + 3) // 4 * 4 - 16, b"\0"))


def udf(contents):
    assert len(contents) <= FILES_MAX
    blocks, p = Blocks(), PARTITION_AT
    directory, data_at = file_identifier(ROOT_ENTRY, 0x0A, "", 0), FIRST_ENTRY + len(contents)
    for i, (name, data) in enumerate(contents):
        directory += file_identifier(FIRST_ENTRY + i, 0, name, 16 + i)
        blocks.put(p + FIRST_ENTRY + i, file_entry(FIRST_ENTRY + i, REGULAR, len(data), data_at, 16 + i))
        blocks.put(p + data_at, data)
        data_at += blocks_of(data)
    blocks.put(p, file_set())
    blocks.put(p + 1, tagged(TERMINATING, 1, bytes(496)))
    blocks.put(p + ROOT_ENTRY, file_entry(ROOT_ENTRY, DIRECTORY, len(directory), ROOT_DATA, 0))
    blocks.put(p + ROOT_DATA, directory)
    for i, kind in enumerate((b"BEA01", b"NSR02", b"TEA01")):
        blocks.put(16 + i, b"\0" + kind + b"\1")
    for at in (SEQUENCE, SECOND_SEQUENCE):
        blocks.put(at, volume_sequence(at, data_at))
    blocks.put(INTEGRITY_AT, integrity(data_at, len(contents)))
    blocks.put(INTEGRITY_AT + 1, tagged(TERMINATING, INTEGRITY_AT + 1, bytes(496)))
    last = p + data_at
    for at in (ANCHOR_AT, last):
        blocks.put(at, tagged(ANCHOR, at, struct.pack("<IIII", SEQUENCE_SIZE, SEQUENCE, SEQUENCE_SIZE,
                                                      SECOND_SEQUENCE) + bytes(480)))
    return blocks.join(last + 1)


# ---- ISO 9660 with Joliet ----

ISO_VOLUME, ISO_TABLES, ISO_ROOT, ISO_DATA = 16, 19, 23, 25


def both(value, size):
    form = {2: "H", 4: "I"}[size]
    return struct.pack("<" + form, value) + struct.pack(">" + form, value)


def iso_record(name, at, size, directory=False):
    body = both(at, 4) + both(size, 4) + bytes((124, 1, 1, 0, 0, 0, 0)) + bytes([2 if directory else 0, 0, 0]) + \
        both(1, 2) + bytes([len(name)]) + name
    body += b"\0" * (len(body) % 2)
    return bytes([len(body) + 2, 0]) + body


def iso_volume(joliet, root_at, tables_at, total):
    def text(value, size):
        return value.encode("utf-16-be").ljust(size, b"\0")[:size] if joliet else value.upper().encode().ljust(size)

    return (bytes([2 if joliet else 1]) + b"CD001\1\0" + text("", 32) + text(LABEL, 32) + bytes(8) + both(total, 4) +
            (b"%/E" if joliet else b"").ljust(32, b"\0") + both(1, 2) + both(1, 2) + both(BLOCK, 2) + both(10, 4) +
            struct.pack("<II", tables_at, 0) + struct.pack(">II", tables_at + 1, 0) +
            iso_record(b"\0", root_at, BLOCK, True) + text("", 128) * 4 + text("", 37) * 3 +
            (b"2024010100000000\0" + b"0" * 16 + b"\0" + b"0" * 16 + b"\0" + b"2024010100000000\0") + b"\1")


def iso9660(contents):
    assert len(contents) <= FILES_MAX
    blocks, at, records = Blocks(), ISO_DATA, ([], [])
    for name, data in sorted(contents, key=lambda c: c[0].upper()):
        plain = name.upper().replace("-", "_") + ";1"
        records[0].append(iso_record(plain.encode(), at, len(data)))
        records[1].append(iso_record(f"{name};1".encode("utf-16-be"), at, len(data)))
        blocks.put(at, data)
        at += blocks_of(data)
    for joliet in (0, 1):
        root, tables = ISO_ROOT + joliet, ISO_TABLES + 2 * joliet
        blocks.put(ISO_VOLUME + joliet, iso_volume(joliet, root, tables, at))
        for i, order in enumerate("<>"):
            blocks.put(tables + i, struct.pack(order + "BBIHBB", 1, 0, root, 1, 0, 0))
        dots = iso_record(b"\0", root, BLOCK, True) + iso_record(b"\1", root, BLOCK, True)
        blocks.put(root, dots + b"".join(records[joliet]))
    blocks.put(ISO_VOLUME + 2, b"\xffCD001\1")
    return blocks.join(at)

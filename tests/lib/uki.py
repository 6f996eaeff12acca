"""What is in a UKI, read by a few lines of our own: pefile is not in every distribution's Python."""

import struct


def sections(uki):
    """Contents by name without the dot, as long as in memory."""
    data = uki.read_bytes()
    coff = struct.unpack_from("<I", data, 0x3C)[0]
    count, optional = struct.unpack_from("<H", data, coff + 6)[0], struct.unpack_from("<H", data, coff + 20)[0]
    found = {}
    for i in range(count):
        name, size, _, raw, at = struct.unpack_from("<8sIIII", data, coff + 24 + optional + 40 * i)
        found[name.rstrip(b"\0").decode().lstrip(".")] = data[at:at + min(size, raw)].ljust(size, b"\0")
    return found

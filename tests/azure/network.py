"""The wire between a virtual machine and QEMU's user network, with Azure on it.

QEMU sends and takes frames over stream sockets, each behind its length (-netdev socket). The box answers DHCP itself, as
Azure does, with option 245; it leads the two addresses' web and name servers to itself and to the user network's name
server by changing addresses and ports in packets; everything else for these addresses, of whatever protocol, is
dropped and written down. All other frames pass. So a machine has the network that `slipway run` gives it, and Azure.
"""

import os
import struct
import threading

FRAME_MAX = 65536 + 64
IPV4, ARP = 0x0800, 0x0806
TCP, UDP = 6, 17
NAME_SERVER = "10.0.2.3"  # the user network's
WIRE = "168.63.129.16"
IMDS = "169.254.169.254"
GATEWAY_MAC = bytes.fromhex("52550a000202")
FOR_EVER = 0xFFFFFFFF
NOTED_MAX = 1000


def address(text):
    return bytes(map(int, text.split(".")))


def read_exactly(fd, size):
    parts = []
    while size > 0:
        part = os.read(fd, size)
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def write_frame(fd, frame):
    data = len(frame).to_bytes(4, "big") + frame
    while data:
        data = data[os.write(fd, data):]


def pump(source, take):
    """Frames from a socket, one by one, until the other end is gone."""
    try:
        while (head := read_exactly(source, 4)) is not None:
            size = int.from_bytes(head, "big")
            frame = read_exactly(source, size) if size <= FRAME_MAX else None
            if frame is None:
                return
            take(frame)
    except OSError:
        return


def folded(total):
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def words(data):
    return struct.unpack(f">{len(data) // 2}H", data)


def adjust(old_sum, old, new):
    """A checksum after some 16-bit words became others (RFC 1624)."""
    return folded((old_sum ^ 0xFFFF) + sum(word ^ 0xFFFF for word in words(old)) + sum(words(new)))


class Packet:
    """An IPv4 packet in an Ethernet frame; ports are those of TCP and of UDP."""

    def __init__(self, frame):
        self.frame = bytearray(frame)
        self.size = (frame[14] & 0x0F) * 4
        self.protocol = frame[23]
        self.source, self.target = bytes(frame[26:30]), bytes(frame[30:34])
        self.first = int.from_bytes(frame[20:22], "big") & 0x1FFF == 0
        at = self.payload = 14 + self.size
        self.has_ports = self.protocol in (TCP, UDP) and self.first and len(frame) >= at + 8
        self.source_port, self.target_port = struct.unpack(">HH", frame[at:at + 4]) if self.has_ports else (0, 0)

    def change(self, place, ip, port):
        """Another address and port, of the "source" or the "target"; both checksums follow."""
        at = {"source": 26, "target": 30}[place]
        port_at = self.payload + {"source": 0, "target": 2}[place]
        f = self.frame
        old_ip, old_port = bytes(f[at:at + 4]), bytes(f[port_at:port_at + 2])
        new_port = port.to_bytes(2, "big")
        f[at:at + 4], f[port_at:port_at + 2] = ip, new_port
        f[24:26] = adjust(int.from_bytes(f[24:26], "big"), old_ip, ip).to_bytes(2, "big")
        sum_at = self.payload + (16 if self.protocol == TCP else 6)
        old_sum = int.from_bytes(f[sum_at:sum_at + 2], "big")
        if self.protocol == UDP and old_sum == 0:
            return
        new_sum = adjust(old_sum, old_ip + old_port, ip + new_port)
        f[sum_at:sum_at + 2] = (new_sum or 0xFFFF if self.protocol == UDP else new_sum).to_bytes(2, "big")


class Dhcp:
    """Answers as Azure's fabric does: one address for ever, its own routes and the fabric's address (option 245)."""

    DISCOVER, OFFER, REQUEST, ACK, INFORM = 1, 2, 3, 5, 8
    COOKIE = bytes.fromhex("63825363")
    OPTION_TYPE, OPTION_END = 53, 255

    def __init__(self, d):
        self.address, self.gateway, self.wire = address(d.address), address(d.gateway), address(WIRE)
        routes = b"".join(bytes([32]) + address(a) + self.gateway for a in (WIRE, IMDS)) + b"\0" + self.gateway
        self.options = (
            (54, self.wire), (51, struct.pack(">I", FOR_EVER)), (1, bytes((255, 255, 255, 0))), (3, self.gateway),
            (6, self.wire), (15, b"box.internal"), (26, struct.pack(">H", 1500)), (121, routes), (245, self.wire))

    def asked_type(self, message):
        """The DHCP message type, or None."""
        if message[:1] != b"\1" or message[236:240] != self.COOKIE:
            return None
        at = 240
        while at + 1 < len(message) and message[at] != self.OPTION_END:
            if message[at] == 0:
                at += 1
                continue
            if message[at] == self.OPTION_TYPE and at + 2 < len(message):
                return message[at + 2]
            at += 2 + message[at + 1]
        return None

    def reply(self, message):
        """(what was asked, the answer) or None."""
        kind = {self.DISCOVER: self.OFFER, self.REQUEST: self.ACK, self.INFORM: self.ACK}.get(self.asked_type(message))
        if kind is None:
            return None
        options = bytes((self.OPTION_TYPE, 1, kind)) + b"".join(
            bytes((code, len(value))) + value for code, value in self.options) + bytes([self.OPTION_END])
        # op, htype, hlen, hops, xid, secs, flags, ciaddr; yiaddr, siaddr, giaddr, chaddr
        body = b"\2" + message[1:8] + bytes(2) + message[10:12] + bytes(4) + self.address + self.wire + bytes(4) + \
            message[28:44] + bytes(192) + self.COOKIE + options
        return {self.OFFER: "discover", self.ACK: "request"}[kind], body.ljust(300, b"\0")

    def frame(self, mac, body):
        udp = struct.pack(">HHHH", 67, 68, 8 + len(body), 0) + body
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, UDP, 0, self.wire, self.address)
        head = head[:10] + folded(sum(words(head))).to_bytes(2, "big") + head[12:]
        return mac + GATEWAY_MAC + IPV4.to_bytes(2, "big") + head + udp


class Link:
    """What happens to each frame. ports: where the box's web servers are on this machine, by address."""

    def __init__(self, d, record, ports, nic, net):
        self.record, self.dhcp, self.nic, self.net = record, Dhcp(d), nic, net
        self.addresses = {address(WIRE): WIRE, address(IMDS): IMDS}
        gateway, names = address(d.gateway), address(NAME_SERVER)
        self.outward = {(address(a), TCP, 80): (gateway, port) for a, port in ports.items()}
        self.outward.update({(address(WIRE), protocol, 53): (names, 53) for protocol in (TCP, UDP)})
        self.inward = {(ip, protocol, port): (a, p) for (a, protocol, p), (ip, port) in self.outward.items()}
        self.lock = threading.Lock()  # of frames to the guest
        self.noted = 0

    def run(self):
        """Until the machine is gone."""
        threading.Thread(target=pump, args=(self.net, self.from_net), daemon=True).start()
        pump(self.nic, self.from_guest)

    def note(self, service, what):
        if self.noted < NOTED_MAX:
            self.record.add(service, what)
        self.noted += 1

    def send_guest(self, frame):
        with self.lock:
            write_frame(self.nic, frame)

    def answer_arp(self, frame):
        """The two addresses are behind the gateway even for who thinks that they are near."""
        asked = bytes(frame[38:42])
        if frame[20:22] != b"\0\1" or asked not in self.addresses:
            return False
        body = frame[14:20] + b"\0\2" + GATEWAY_MAC + asked + frame[22:32]
        self.send_guest(frame[6:12] + GATEWAY_MAC + ARP.to_bytes(2, "big") + body)
        return True

    def answer_dhcp(self, packet):
        found = self.dhcp.reply(bytes(packet.frame[packet.payload + 8:]))
        if found:
            self.note("dhcp", found[0])
            self.send_guest(self.dhcp.frame(bytes(packet.frame[6:12]), found[1]))

    def from_guest(self, frame):
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ARP and len(frame) >= 42 and self.answer_arp(frame):
            return
        if kind == IPV4 and len(frame) >= 34:
            frame = self.packet_from_guest(Packet(frame))
        if frame is not None:
            write_frame(self.net, frame)

    def packet_from_guest(self, packet):
        """The frame for the user network; None: it is the box's, or nobody's."""
        if packet.protocol == UDP and packet.target_port == 67:
            self.answer_dhcp(packet)
            return None
        if packet.target not in self.addresses:
            return packet.frame
        found = self.outward.get((packet.target, packet.protocol, packet.target_port))
        if not found:
            self.note("other", f"{self.addresses[packet.target]} protocol {packet.protocol} port {packet.target_port}")
            return None
        packet.change("target", *found)
        return packet.frame

    def from_net(self, frame):
        if int.from_bytes(frame[12:14], "big") == IPV4 and len(frame) >= 34:
            packet = Packet(frame)
            found = self.inward.get((packet.source, packet.protocol, packet.source_port))
            if found:
                packet.change("source", *found)
            frame = packet.frame
        self.send_guest(frame)

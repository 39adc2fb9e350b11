"""A client of the protocol as its Python client behaves: it reads to the tail, strips white space from
DATA, asks for page+1 only after 10,000 rows or more, and needs index 12 of a k-data body.

Usage: client.py HOST:PORT, then lines of JSON on standard input: ["95", "method", "arg", ...].
Prints one line of JSON per request: {"code", "message", "rows", "fields", "echo", "pages", "type"}.
"""
import json
import re
import socket
import sys
import zlib

TAIL = b"<![CDATA[]]>\n"
SEP = "\x01"


class Client:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.user = ""

    def send(self, kind, body):
        text = "00.9.10" + SEP + kind + SEP + "%010d" % len(body) + body
        data = text.encode()
        self.socket.sendall(data + (SEP + str(zlib.crc32(data)) + "\n").encode())
        answer = b""
        while not answer.endswith(TAIL):
            part = self.socket.recv(8192)
            if not part:
                raise SystemExit("closed while receiving")
            answer += part
        return self.parse(answer)

    def parse(self, answer):
        header = answer[:21].decode()
        version, kind, length = header.split(SEP)
        assert version == "00.9.00" and len(length) == 10, header
        if kind == "96":
            stream = answer[21:21 + int(length)]
            assert stream[:2] == b"\x78\x01", "zlib level 1"
            rest = answer[21 + int(length):]
            assert re.fullmatch(rb"\x01\d+\n<!\[CDATA\[\]\]>\n", rest), rest
            assert int(rest[1:].split(b"\n")[0]) == zlib.crc32(answer[:21] + stream)
            body = zlib.decompress(stream).decode()
        else:
            end = answer.rindex(b"\x01", 0, len(answer) - len(TAIL))
            body = answer[21:end].decode()
            assert len(body) == int(length), (len(body), length)
            assert int(answer[end + 1:-len(TAIL)]) == zlib.crc32(answer[:end])
        return kind, body.split(SEP)

    def query(self, kind, method, *args):
        if kind == "00":
            kind, body = self.send(kind, SEP.join((method,) + args))
            if body[0] == "0":
                self.user = body[3]
            return {"type": kind, "code": body[0], "message": body[1], "echo": body[2:]}
        if kind == "02":
            kind, body = self.send(kind, SEP.join((method, self.user, "20240102030405")))
            return {"type": kind, "code": body[0], "message": body[1], "echo": body[2:]}
        fields = [method, self.user, "1", "10000", *args]
        rows, pages = [], 0
        while True:
            answered, body = self.send(kind, SEP.join(fields))
            if body[0] != "0":
                return {"type": answered, "code": body[0], "message": body[1]}
            pages += 1
            data = "".join(body[6].split())
            page = json.loads(data)["record"] if data else []
            rows += page
            if len(page) < 10000:
                break
            assert body[4].isdigit()
            fields[2] = str(int(body[4]) + 1)
        names = body[8] if answered == "96" else body[-1]
        if answered == "96":
            body[12]  # must exist
        return {
            "type": answered, "code": body[0], "message": body[1], "rows": rows, "pages": pages,
            "fields": [n.strip() for n in names.split(",")], "echo": body[2:6] + body[7:],
        }


def main():
    client = Client(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(client.query(*json.loads(line))), flush=True)


main()

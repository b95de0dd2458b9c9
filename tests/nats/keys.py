"""Certificates by openssl, and NATS's own keys, JWTs and credentials, which have a form of their own around Ed25519."""

import base64
import hashlib
import json
import os
import struct
import subprocess


def openssl(*arguments, data=None):
    p = subprocess.run(["openssl", *arguments], input=data, capture_output=True)
    if p.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {p.stderr.decode()}")
    return p.stdout


class Authority:
    """A CA in a directory, and what it has signed: NAME.pem and NAME.key."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        self.name = name
        self.ca = self.path(name + ".pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", f"/CN=belfry test {name}", "-keyout", self.path(name + ".key"), "-out", self.ca)

    def path(self, name):
        return os.path.join(self.directory, name)

    def sign(self, name, *alternatives):
        request, extensions = self.path(name + ".csr"), self.path(name + ".ext")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", self.path(name + ".key"), "-out", request)
        with open(extensions, "w") as f:
            f.write("basicConstraints = CA:FALSE\n")
            if alternatives:
                f.write("subjectAltName = " + ", ".join(alternatives) + "\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.path(self.name + ".key"),
                "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", self.path(name + ".pem"))
        return self.path(name + ".pem"), self.path(name + ".key")


def crc16(data):
    """XMODEM."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def base32(data):
    return base64.b32encode(data).decode().rstrip("=")


def base64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Nkey:
    """Of a user, an account or an operator: the letter that its public key begins with."""

    PREFIXES = {"U": 20 << 3, "A": 0, "O": 14 << 3}

    def __init__(self, directory, letter):
        prefix = self.PREFIXES[letter]
        self.file = os.path.join(directory, f"{letter}{os.urandom(8).hex()}.pem")
        openssl("genpkey", "-algorithm", "ed25519", "-out", self.file)
        # Both end in the 32 bytes of the key.
        secret = openssl("pkey", "-in", self.file, "-outform", "DER")[-32:]
        public = openssl("pkey", "-in", self.file, "-pubout", "-outform", "DER")[-32:]
        self.public = self.encode(bytes([prefix]) + public)
        seed = 18 << 3
        self.seed = self.encode(bytes([seed | prefix >> 5, (prefix & 31) << 3]) + secret)

    @staticmethod
    def encode(raw):
        return base32(raw + struct.pack("<H", crc16(raw)))

    def jwt(self, name, subject, claims):
        """Signed by this key."""
        body = {"iat": 1700000000, "iss": self.public, "name": name, "sub": subject, "nats": {**claims, "version": 2}}
        body["jti"] = base32(hashlib.sha256(json.dumps(body).encode()).digest())
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body]
        text = ".".join(base64url(json.dumps(p, separators=(",", ":")).encode()) for p in parts)
        unsigned = self.file + ".unsigned"  # openssl wants a file, of which it knows the size
        with open(unsigned, "w") as f:
            f.write(text)
        return text + "." + base64url(openssl("pkeyutl", "-sign", "-inkey", self.file, "-rawin", "-in", unsigned))


def credentials(jwt, seed):
    """A file `.creds`."""
    return (f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")

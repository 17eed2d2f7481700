# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates for tests, made by openssl(1)."""

import pathlib
import re
import signal
import ssl
import subprocess

import harness

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def openssl(*words, **how):
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True,
                          **how)
    assert done.returncode == 0, (words, done.stderr.decode())
    return done.stdout


class Identity:
    """A key, its certificate, and who issued it: files in PEM and PKCS12."""

    def __init__(self, folder, name):
        base = pathlib.Path(folder) / name
        self.key, self.certificate, self.request, self.both = (
            base.with_suffix(f".{ending}")
            for ending in ("key", "pem", "csr", "both.pem"))
        self.p12 = base.with_suffix(".p12")

    def finish(self, chain, password):
        """One PEM file with key and chain, and one PKCS12 file."""
        text = self.certificate.read_text() + chain.read_text()
        self.both.write_text(self.key.read_text() + text)
        openssl("pkcs12", "-export", "-inkey", self.key, "-in",
                self.certificate, "-certfile", chain, "-out", self.p12,
                "-passout", f"pass:{password}")

    def pem_options(self):
        return {"ssl.keystore.type": "PEM",
                "ssl.keystore.location": self.both}

    def p12_options(self, password="storepass"):
        return {"ssl.keystore.type": "PKCS12",
                "ssl.keystore.location": self.p12,
                "ssl.keystore.password": password}


class Authority:
    """A certificate authority, with files for truststores."""

    def __init__(self, folder, name="authority"):
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(parents=True)
        self.certificate = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self.name = name
        openssl("req", "-x509", *KEY, "-subj", f"/CN={name}", "-days", 30,
                "-keyout", self.key, "-out", self.certificate,
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def issue(self, name="server", subject=None, days=10, password="storepass",
              names="DNS:localhost,IP:127.0.0.1"):
        """days negative: it has expired."""
        i = Identity(self.folder, name)
        openssl("req", *KEY, "-subj", subject or f"/O=tests/CN={name}",
                "-keyout", i.key, "-out", i.request,
                "-addext", f"subjectAltName={names}")
        openssl("x509", "-req", "-in", i.request, "-CA", self.certificate,
                "-CAkey", self.key, "-CAcreateserial", "-days", days,
                "-copy_extensions", "copyall", "-out", i.certificate)
        i.finish(self.certificate, password)
        return i

    def pem_options(self):
        return {"ssl.truststore.type": "PEM",
                "ssl.truststore.location": self.certificate}

    def p12_options(self, password="trustpass"):
        """As keytool makes them, with the mark of a trusted certificate."""
        path = self.folder / "trust.p12"
        path.unlink(missing_ok=True)
        subprocess.run(
            ["keytool", "-importcert", "-noprompt", "-alias", "ca", "-file",
             str(self.certificate), "-keystore", str(path), "-storetype",
             "PKCS12", "-storepass", password], check=True,
            capture_output=True)
        return {"ssl.truststore.type": "PKCS12",
                "ssl.truststore.location": path,
                "ssl.truststore.password": password}


def text_of(options):
    """The lines of a properties file."""
    return "".join(f"{k}={v}\n" for k, v in options.items())


def folded(path, join=" "):
    """A PEM file on one line, as a value in a properties file."""
    return join.join(path.read_text().split("\n"))


def context(authority, identity=None):
    """What a client trusts, and who it is."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(authority.certificate)
    if identity is not None:
        c.load_cert_chain(identity.certificate, identity.key)
    return c


def reload(broker):
    """SIGHUP, and until it has been followed: what the broker says of it."""
    before = broker.log()
    broker.process.send_signal(signal.SIGHUP)
    words = re.compile(r"TLS keys and certificates (are read again|cannot be "
                       "used.*)")
    return harness.wait_until(
        lambda: words.search(broker.log(), len(before)),
        what="TLS is loaded again").group(0)

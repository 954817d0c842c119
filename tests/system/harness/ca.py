"""A certificate authority made with the openssl command line: a root, an intermediate, and leaves on demand."""

import dataclasses
import hashlib
import pathlib
import ssl
import subprocess
import tempfile

from .processes import run, tool

_NEW_KEY = {
    "ecdsa": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ed25519": ["genpkey", "-algorithm", "ED25519"],
    "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}

_CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n" \
                 "subjectKeyIdentifier=hash\n"


def fingerprint(pem):
    """SHA-256 of the first certificate in a PEM text, in hex."""
    text = pem.decode() if isinstance(pem, bytes) else pem
    start = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[start:end] + "\n")).hexdigest()


def fingerprint_of_der(der):
    return hashlib.sha256(der).hexdigest()


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A certificate with its key. `chain` is the leaf and its intermediate, as servers send it."""

    names: tuple
    kind: str
    chain: bytes
    key: bytes

    @property
    def fingerprint(self):
        return fingerprint(self.chain)

    @property
    def key_digest(self):
        """The SHA-256 of its public key as TLSA 3 1 1 has it, in hex, as openssl sees it."""
        der = subprocess.run([tool("openssl"), "pkey", "-pubout", "-outform", "DER"], input=self.key, check=True,
                             capture_output=True).stdout
        return hashlib.sha256(der).hexdigest()

    def write(self, folder, stem):
        """Writes STEM.pem (chain) and STEM.key; returns both paths."""
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        chain.write_bytes(self.chain)
        key.write_bytes(self.key)
        return chain, key

    def write_combined(self, path):
        """Key, leaf and intermediate in one file, as Postfix's SNI maps and HAProxy want it."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.key + self.chain)
        return path


class Authority:
    """Issues certificates. `root` is the path of the trust anchor for clients."""

    def __init__(self, folder):
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count = 0
        self.root = self._folder / "root.pem"
        self._root_key = self._folder / "root.key"
        self._intermediate = self._folder / "intermediate.pem"
        self._intermediate_key = self._folder / "intermediate.key"
        self._make_key(self._root_key, "ecdsa")
        self._openssl("req", "-x509", "-new", "-key", self._root_key, "-subj", "/CN=Postern test root", "-days", "30",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.root)
        self._make_key(self._intermediate_key, "ecdsa")
        self._sign(self._intermediate_key, "/CN=Postern test intermediate", _CA_EXTENSIONS, self.root, self._root_key,
                   self._intermediate, 20)

    def issue(self, *names, kind="ecdsa", days=10, usage="serverAuth"):
        """A new certificate with a new key for the DNS names. With `days=-1` it expired yesterday."""
        self._count += 1
        key = self._folder / f"leaf-{self._count}.key"
        certificate = self._folder / f"leaf-{self._count}.pem"
        self._make_key(key, kind)
        extensions = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature,keyEncipherment\n" \
                     f"extendedKeyUsage={usage}\nsubjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n"
        self._sign(key, f"/CN={names[0]}", extensions, self._intermediate, self._intermediate_key, certificate, days)
        return Leaf(tuple(names), kind, certificate.read_bytes() + self._intermediate.read_bytes(), key.read_bytes())

    def ocsp(self, leaf, status="V"):
        """An OCSP response of the issuer about a leaf, DER, good for three days; `status` "R": revoked."""
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "leaf.pem").write_bytes(leaf.chain)
            serial = self._openssl("x509", "-in", scratch / "leaf.pem", "-noout", "-serial").stdout.strip().split("=")[1]
            revoked = "250101000000Z" if status == "R" else ""
            (scratch / "index").write_text(f"{status}\t490101000000Z\t{revoked}\t{serial}\tunknown\t/CN=leaf\n")
            self._openssl("ocsp", "-issuer", self._intermediate, "-cert", scratch / "leaf.pem", "-no_nonce", "-reqout",
                          scratch / "request")
            self._openssl("ocsp", "-index", scratch / "index", "-CA", self._intermediate, "-rsigner", self._intermediate,
                          "-rkey", self._intermediate_key, "-reqin", scratch / "request", "-respout",
                          scratch / "response", "-ndays", 3)
            return (scratch / "response").read_bytes()

    def _openssl(self, *arguments):
        result = run([tool("openssl"), *arguments])
        assert result.returncode == 0, f"openssl {' '.join(map(str, arguments))}:\n{result.stderr}"
        return result

    def _make_key(self, path, kind):
        self._openssl(*_NEW_KEY[kind], "-out", path)

    def _sign(self, key, subject, extensions, issuer, issuer_key, path, days):
        request = path.with_suffix(".csr")
        self._openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        extension_file = path.with_suffix(".ext")
        extension_file.write_text(extensions + "authorityKeyIdentifier=keyid\n")
        self._openssl("x509", "-req", "-in", request, "-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial",
                      "-days", days, "-extfile", extension_file, "-out", path)

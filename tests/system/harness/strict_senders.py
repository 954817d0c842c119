"""Senders that insist on the right certificate, as their operators set them up: a Postfix with Debian's
postfix-mta-sts-resolver, and one that follows DANE. They live in a harness.network."""

import functools

from .ports import accepts
from .processes import Process, environment, tool
from .senders import Postfix
from .wait import eventually

_STS_PORT = 8461


class StrictPostfix:
    """One Postfix whose mail leaves by the way that the recipient's local part names:

    sts        follows MTA-STS policies, and asks for the MX name as RFC 8461 section 4.2 demands
    nameless   follows them, and sends no SNI (`require_sni: false`, for a Postfix older than 3.4)
    dane       follows DANE
    any        takes any certificate, and sends no SNI

    `addresses`: from where each connects. `root`: what it trusts, for policies and for certificates.
    """

    ways = ("sts", "nameless", "dane", "any")

    def __init__(self, folder, root, addresses, domains):
        folder.mkdir()
        configuration = folder / "mta-sts-daemon.yml"
        configuration.write_text(f"host: 127.0.0.1\nport: {_STS_PORT}\ncache: {{type: internal}}\n"
                                 "default_zone: {require_sni: true}\nzones: {nameless: {require_sni: false}}\n")
        self.policies = Process([tool("mta-sts-daemon"), "-c", configuration], name="mta-sts-daemon", folder=folder,
                                env=environment(SSL_CERT_FILE=str(root)))
        try:
            eventually(functools.partial(accepts, _STS_PORT), lambda: f"mta-sts-daemon listens: {self.policies.stderr}")
            self._postfix = self._start(folder / "postfix", root, addresses, domains)
        except BaseException:
            self.policies.kill()
            raise

    def _start(self, folder, root, addresses, domains):
        def policies(zone):
            return {"smtp_tls_security_level": "may", "smtp_tls_CAfile": root,
                    "smtp_tls_policy_maps": f"socketmap:inet:127.0.0.1:{_STS_PORT}:{zone}"}
        settings = {"sts": policies("postfix"), "nameless": policies("nameless"), "any": {"smtp_tls_security_level": "may"},
                    "dane": {"smtp_tls_security_level": "dane", "smtp_dns_support_level": "dnssec"}}
        services = []
        for way, own in settings.items():
            own = {"smtp_dns_support_level": "enabled", "smtp_host_lookup": "dns", "smtp_tls_loglevel": 1,
                   "smtp_bind_address": addresses[way], **own}
            services += [f"{way} unix y - n - - smtp", *(f"  -o {{{name} = {value}}}" for name, value in own.items())]
        transports = "".join(f"{way}@{domain} {way}:\n" for way in settings for domain in domains)
        return Postfix(folder, ("127.0.0.1", 25), folder / "authors", transports=transports, services=services)

    def submit(self, *arguments):
        self._postfix.submit(*arguments)

    def queued(self):
        return self._postfix.queued()

    def log(self):
        return self._postfix.log() + self.policies.stderr

    def stop(self):
        self._postfix.stop()
        self.policies.kill()

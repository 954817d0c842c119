"""Postfix and Exim as MTAs behind a postern that passes sessions through. Who the client is decides what they take: they
relay for 127.0.0.77 and for those who have logged in, and refuse 127.0.0.66. Some names and senders they refuse (REFUSED), or
break the session off at (DROPPED)."""

from .dovecot import Dovecot
from .mtas import Exim, Postfix
from .ports import free_port

FRIEND, ENEMY = "127.0.0.77", "127.0.0.66"
LOGIN, PASSWORD = "author@example.test", "unused"
REFUSED, DROPPED = "refused.test", "dropped.test"  # in EHLO, and with any local part as sender


class PassedPostfix(Postfix):
    """Besides the plain smtpd (port) one for each identity: ports["proxy"], ports["xclient"], ports["postscreen"]; and with
    PROXY ports["strict"], which refuses at once and bears few errors, and ports["hasty"], which waits only three seconds."""

    more_settings = f"""mynetworks = {FRIEND}
message_size_limit = 0
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
postscreen_access_list = static:permit
postscreen_greet_wait = 1s
default_transport = smtp:[127.0.0.1]:1
authorized_verp_clients = {FRIEND}
service_throttle_time = 1s
strict_names = check_helo_access inline:{{ {{{REFUSED} = REJECT not this name}} {{{DROPPED} = 421 4.7.0 go away}} }}
strict_senders = check_sender_access inline:{{ {{{REFUSED} = REJECT not this sender}} {{{DROPPED} = 421 4.7.0 go away}} }}
"""

    def more_services(self):
        self.ports = {name: free_port() for name in ("proxy", "xclient", "postscreen", "strict", "hasty")}
        return [
            f"127.0.0.1:{self.ports['proxy']} inet n - n - - smtpd",
            "  -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_authorized_xclient_hosts=",
            "  -o smtpd_authorized_xforward_hosts=127.0.0.0/8",
            f"127.0.0.1:{self.ports['xclient']} inet n - n - - smtpd",
            "  -o smtpd_authorized_xclient_hosts=127.0.0.1 -o smtpd_authorized_xforward_hosts=127.0.0.1",
            "  -o smtpd_upstream_proxy_protocol=",
            f"127.0.0.1:{self.ports['postscreen']} inet n - n - 1 postscreen",
            "  -o postscreen_upstream_proxy_protocol=haproxy -o smtpd_service_name=passed",
            "passed pass - - n - - smtpd",
            f"127.0.0.1:{self.ports['strict']} inet n - n - - smtpd",
            "  -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_authorized_xclient_hosts= -o smtpd_delay_reject=no",
            "  -o smtpd_helo_restrictions=$strict_names -o smtpd_sender_restrictions=$strict_senders",
            "  -o smtpd_hard_error_limit=5 -o smtpd_error_sleep_time=0",
            f"127.0.0.1:{self.ports['hasty']} inet n - n - - smtpd",
            "  -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_authorized_xclient_hosts= -o smtpd_timeout=3s",
            "dnsblog unix - - n - 0 dnsblog",
        ]

    def target_of(self, identity):
        return f"127.0.0.1:{self.ports[identity]}"


class LoginPostfix(PassedPostfix):
    """Its clients may log in as LOGIN: a Dovecot knows the password."""

    def _start(self):
        self._dovecot = Dovecot(self.folder / "dovecot", [LOGIN], plugins="""auth_mechanisms = plain login
service auth {
  unix_listener auth-client {
    mode = 0666
  }
}
""")
        self.more_settings += f"""smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {self.folder}/dovecot/run/auth-client
"""
        return super()._start()

    def stop(self):
        super().stop()
        self._dovecot.stop()


class PassedExim(Exim):
    """Its clients may log in as LOGIN. It wants a PROXY header from everybody; so it can be asked whether it runs only by its log."""

    unpacked = "exim4-heavy"
    more_settings = """hosts_proxy = 127.0.0.1
acl_smtp_helo = names
acl_smtp_mail = senders
acl_smtp_data = texts
"""
    more_acls = f"""names:
  deny hosts = {ENEMY}
  deny condition = ${{if eq{{$sender_helo_name}}{{{REFUSED}}}}}
       message = not this name
  drop condition = ${{if eq{{$sender_helo_name}}{{{DROPPED}}}}}
       message = go away
  accept
senders:
  deny senders = *@{REFUSED}
       message = not this sender
  drop senders = *@{DROPPED}
       message = go away
  accept
texts:
  drop condition = ${{if match{{$h_subject:}}{{dropped}}}}
       message = go away
  accept
"""
    more_sections = f"""begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{LOGIN}}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = <| Username: | Password:
  server_condition = ${{if and{{{{eq{{$auth1}}{{{LOGIN}}}}}{{eq{{$auth2}}{{{PASSWORD}}}}}}}}}
  server_set_id = $auth1
"""

    def _greets(self):
        assert self.process.running(), f"{self.process.name} ended:\n{self.log}"
        return "daemon started" in self.log

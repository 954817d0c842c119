"""What stands in front of an MTA and passes sessions through: posternd, HAProxy and nginx's mail proxy, each doing as much
of it as it can, and nothing at all.

    clear     what goes over is not encrypted
    STARTTLS  HAProxy cannot
    TLS       from the first octet on

posternd and HAProxy tell the backend who the client is by a PROXY header, version 1. nginx is asked to do without authentication
(`smtp_auth none`): at the first RCPT it asks an HTTP server for the backend, which here is itself, so that all it needs is
counted. The backend is a sink that keeps nothing; each front has one thread for connections.
"""

import shutil
import sys

from programs import free_port

PACKAGES = {"HAProxy": ("haproxy", "haproxy"), "nginx": ("nginx", "nginx and libnginx-mod-mail")}

HAPROXY = """
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen clear
  bind 127.0.0.1:{clear}
  server sink 127.0.0.1:{sink} send-proxy
listen tls
  bind 127.0.0.1:{tls} ssl crt {pem}
  server sink 127.0.0.1:{sink} send-proxy
"""

NGINX = """
load_module modules/ngx_mail_module.so;
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 10000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{http};
    location / {{
      add_header Auth-Status OK;
      add_header Auth-Server 127.0.0.1;
      add_header Auth-Port {sink};
      return 204;
    }}
  }}
}}
mail {{
  server_name mx0.bench.test;
  auth_http 127.0.0.1:{http}/;
  smtp_auth none;
  xclient off;
  smtp_capabilities PIPELINING 8BITMIME;
  ssl_certificate {live}/fullchain.pem;
  ssl_certificate_key {live}/privkey.pem;
  server {{ listen 127.0.0.1:{clear}; protocol smtp; starttls on; }}
  server {{ listen 127.0.0.1:{tls} ssl; protocol smtp; }}
}}
"""

POSTERND = """
hostname  = "mx0.bench.test"
workers   = 1
state_dir = "{folder}/state"
control   = "{folder}/control"

[[listen]]
address = ["127.0.0.1:{clear}"]
default_certificate = "mx0.bench.test"
backend = "mta"

[[listen]]
address = ["127.0.0.1:{tls}"]
tls = "implicit"
default_certificate = "mx0.bench.test"
backend = "mta"

[certificates]
directories = ["{folder}/live"]

[dns]
reverse = false

[limits]
connections = 4000
connections_per_address = 4000
message_size = "64 MiB"

[[backend]]
name     = "mta"
deliver  = "smtp-proxy"
to       = ["127.0.0.1:{sink}"]
identity = "proxy-v1"
connect  = "{connect}"
"""

# How bench-load comes in: what it is called, which port, --tls.
WAYS = (("in clear", "clear", "no"), ("by STARTTLS", "clear", "yes"), ("over TLS at once", "tls", "at-once"))


class FrontRows:
    """Rows of Bench about fronts: it has folder, server(), sink(), drive() and count()."""

    def proxy(self, table):
        with self.sink():
            direct = self.drive("visits", to=f"127.0.0.1:{self.sink_port}", **self._visits())
            direct_large = self.drive("messages", to=f"127.0.0.1:{self.sink_port}", **self._megabytes())
            table.add("a session with a message of 4 KiB, without a front, p50", f"{direct['p50'] * 1e6:.0f} us", "",
                      f"p99 {direct['p99'] * 1e6:.0f} us")
            table.add("a message of 1 MiB, without a front, p50", f"{direct_large['p50'] * 1e6:.0f} us")
            for name, start in (("posternd, late", self._front_late), ("posternd, early", self._front_early),
                                ("HAProxy", self._haproxy), ("nginx", self._nginx)):
                self._measure_front(table, name, start, direct, direct_large)

    def _visits(self):
        return {"count": self.count(4000), "octets": 4096, "recipient": "user@sink.test"}

    def _megabytes(self):
        return {"count": self.count(1000), "octets": 1024 * 1024, "recipient": "user@sink.test"}

    def _measure_front(self, table, name, start, direct, direct_large):
        ports = {"clear": free_port(), "tls": free_port()}
        with start(ports) as front:
            for way, port, tls in WAYS:
                if name == "HAProxy" and way == "by STARTTLS":
                    continue
                target = {"to": f"127.0.0.1:{ports[port]}", "tls": tls}
                self.drive("visits", **{**self._visits(), **target, "count": 20})
                each, seen = self._front_cost(front, "visits", {**self._visits(), **target})
                table.add(f"{name}, a session with 4 KiB {way}, front CPU", f"{each:.0f} us", "",
                          f"p50 {(seen['p50'] - direct['p50']) * 1e6:+.0f} us, p99 {(seen['p99'] - direct['p99']) * 1e6:+.0f} us "
                          f"to a direct one in clear; {seen['count'] / seen['seconds']:.0f}/s")
                each, seen = self._front_cost(front, "messages", {**self._megabytes(), **target})
                table.add(f"{name}, 1 MiB {way}, front CPU", f"{each:.0f} us", "",
                          f"p50 {(seen['p50'] - direct_large['p50']) * 1e6:+.0f} us; {seen['count'] / seen['seconds']:.0f} MiB/s")

    def _front_cost(self, front, run, options):
        before = front.cpu_seconds()
        report = self.drive(run, **options)
        return (front.cpu_seconds() - before) / report["count"] * 1e6, report

    # The fronts.

    def _front(self, name, command, text, ports, **more):
        """A program with this configuration, which greets."""
        path = self.folder / f"{name}.conf"
        path.write_text(text.format(folder=self.folder, live=self.folder / "live/mx0.bench.test", sink=self.sink_port,
                                    **ports, **more))
        program = self.server(name, *command, path)
        program.answers(ports["clear"])
        return program

    def _front_late(self, ports, connect="late"):
        (self.folder / "state").mkdir(exist_ok=True)
        return self._front("posternd", [self.build / "daemon/posternd", "-c"], POSTERND, ports, connect=connect)

    def _front_early(self, ports):
        return self._front_late(ports, "early")

    def _haproxy(self, ports):
        live = self.folder / "live/mx0.bench.test"
        pem = self.folder / "haproxy.pem"
        pem.write_bytes((live / "fullchain.pem").read_bytes() + (live / "privkey.pem").read_bytes())
        return self._front("haproxy", [installed("HAProxy"), "-db", "-f"], HAPROXY, ports, pem=pem)

    def _nginx(self, ports):
        return self._front("nginx", [installed("nginx"), "-p", "/usr/share/nginx", "-c"], NGINX, ports, http=free_port())


def installed(name):
    program, packages = PACKAGES[name]
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        sys.exit(f"{program} is missing: apt-get install {packages}")
    return found

#!/usr/bin/env python3
"""What lets a bridge in, and what keeps it out: then it says so, and nothing has left the ring."""

import contextlib
import tempfile

from keys import *
from servers import *


@contextlib.contextmanager
def directory():
    with tempfile.TemporaryDirectory(prefix="belfry-test-nats-") as d:
        yield d


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def carries(server, *options):
    """Values pass from one channel to another one."""
    with Stage() as stage:
        here, there = stage.name("here"), stage.name("there")
        tx = stage.add(Peer("send", "spsc", here, 0, 3000))
        out = stage.add(Bridge("--server", server.url, *options, "--export", f"{here}=plant.values"))
        back = stage.add(Bridge("--server", server.url, *options, "--import", f"plant.values={there}"))
        back.await_event("running")
        rx = stage.add(Peer("check", "spsc", there, 3000))
        tx.wait()
        rx.wait()
        out.stops_cleanly()
        back.stops_cleanly()


def refused(server, text, *options, ends=True, event="refused"):
    """It says so, and ends, or tries again; the values are still in the ring, all of them."""
    with Stage() as stage:
        here = stage.name("here")
        stage.add(Peer("send", "spsc", here, 0, 100)).wait()
        bridge = stage.add(Bridge("--server", server.url, *options, "--drain", "0", "--export", f"{here}=plant.refused"))
        bridge.await_event(event, text)
        if ends:
            check(bridge.process.wait(120) == 1, "exit status 1")
        else:
            check(bridge.stop() == 0, "it goes on trying, until it is stopped")
        check(not bridge.said("running") and not bridge.said("connected"), f"it was not let in: {bridge.events}")
        stage.add(Peer("check", "spsc", here, 100)).wait()


def tls_block(certificate, key, more=""):
    return f'tls {{ cert_file: "{certificate}", key_file: "{key}", {more} }}'


def tls():
    with directory() as d, Stage() as stage:
        ca, other = Authority(d), Authority(d, "other")
        s = stage.add(Server(tls_block(*ca.sign("server", "DNS:localhost", "IP:127.0.0.1"))))
        carries(s, "--tls", "--tls-ca", ca.ca)
        refused(s, "unable to get local issuer certificate", "--tls", "--tls-ca", other.ca, ends=False)
        refused(s, "unable to get local issuer certificate", "--tls", ends=False)  # it is not of the system's CAs
        carries(s, "--tls-ca", ca.ca)  # the server wants TLS, so it is used
        missing = os.path.join(d, "missing.pem")
        refused(s, missing, "--tls", "--tls-ca", missing)


def tls_name():
    """The certificate has another name than the address."""
    with directory() as d, Stage() as stage:
        ca = Authority(d)
        s = stage.add(Server(tls_block(*ca.sign("server", "DNS:hub.example"))))
        carries(s, "--tls", "--tls-ca", ca.ca, "--tls-host", "hub.example")
        refused(s, "hostname mismatch:expected=evil.example", "--tls", "--tls-ca", ca.ca, "--tls-host", "evil.example", ends=False)


def tls_client_certificate():
    with directory() as d, Stage() as stage:
        ca, other = Authority(d), Authority(d, "other")
        own = ca.sign("server", "IP:127.0.0.1")
        s = stage.add(Server(tls_block(*own, f'ca_file: "{ca.ca}", verify: true')))
        certificate, key = ca.sign("client")
        carries(s, "--tls", "--tls-ca", ca.ca, "--tls-cert", certificate, "--tls-key", key)
        other_one = dict(ends=False, event="disconnected")
        hint = "does it want another certificate?"
        refused(s, hint, "--tls", "--tls-ca", ca.ca, **other_one)
        certificate, key = other.sign("stranger")
        refused(s, hint, "--tls", "--tls-ca", ca.ca, "--tls-cert", certificate, "--tls-key", key, **other_one)


def tls_wanted():
    """By the bridge, but the server has none."""
    with Stage() as stage:
        refused(stage.add(Server()), "Secure Connection not available", "--tls", ends=False)


def password():
    with directory() as d, Stage() as stage:
        s = stage.add(Server('authorization { user: "plant", password: "secret" }'))
        right, wrong = write(d + "/right", "secret\n"), write(d + "/wrong", "secrets\n")
        carries(s, "--user", "plant", "--password-file", right)
        for options in (["--user", "plant", "--password-file", wrong], ["--user", "other", "--password-file", right], []):
            refused(s, "Authorization", *options)


def token():
    with directory() as d, Stage() as stage:
        s = stage.add(Server('authorization { token: "secret" }'))
        carries(s, "--token-file", write(d + "/right", "secret\n"))
        refused(s, "Authorization", "--token-file", write(d + "/wrong", "secrets\n"))


def nkey():
    with directory() as d, Stage() as stage:
        user, other = Nkey(d, "U"), Nkey(d, "U")
        s = stage.add(Server(f"authorization {{ users: [ {{ nkey: {user.public} }} ] }}"))
        seed, other_seed = write(d + "/seed", user.seed + "\n"), write(d + "/other", other.seed + "\n")
        carries(s, "--nkey", user.public, "--nkey-seed", seed)
        refused(s, "Authorization", "--nkey", user.public, "--nkey-seed", other_seed)
        refused(s, "Authorization", "--nkey", other.public, "--nkey-seed", other_seed)
        damaged = write(d + "/damaged", user.seed[:20] + ("B" if user.seed[20] == "A" else "A") + user.seed[21:] + "\n")
        refused(s, "/damaged: ", "--nkey", user.public, "--nkey-seed", damaged)
        refused(s, "/missing: No such file or directory", "--nkey", user.public, "--nkey-seed", d + "/missing")


def creds():
    """An operator, which has signed an account, which has signed a user."""
    with directory() as d, Stage() as stage:
        operator, account, user, stranger = Nkey(d, "O"), Nkey(d, "A"), Nkey(d, "U"), Nkey(d, "U")
        no_limit = dict.fromkeys(["subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage",
                                  "disk_storage", "streams", "consumer"], -1)
        operator_jwt = operator.jwt("operator", operator.public, {"type": "operator"})
        claims = {"type": "account", "limits": {**no_limit, "wildcards": True}}
        account_jwt = operator.jwt("plant", account.public, claims)
        system = Nkey(d, "A")
        del claims["limits"]["mem_storage"], claims["limits"]["disk_storage"]  # it has no JetStream
        system_jwt = operator.jwt("system", system.public, claims)
        user_claims = {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
        user_jwt = account.jwt("bridge", user.public, user_claims)
        s = stage.add(Server(f"operator: {operator_jwt}\nsystem_account: {system.public}\nresolver: MEMORY\n"
                          f"resolver_preload: {{ {account.public}: {account_jwt}, {system.public}: {system_jwt} }}"))
        carries(s, "--creds", write(d + "/user.creds", credentials(user_jwt, user.seed)))
        refused(s, "Authorization", "--creds", write(d + "/seed.creds", credentials(user_jwt, stranger.seed)))
        foreign = Nkey(d, "A").jwt("bridge", user.public, user_claims)  # signed by an account that no operator has signed
        refused(s, "Authorization", "--creds", write(d + "/foreign.creds", credentials(foreign, user.seed)))
        refused(s, "there is no seed of a user in it", "--creds", write(d + "/damaged.creds", "nothing\n"))
        refused(s, "/missing.creds: No such file or directory", "--creds", d + "/missing.creds")


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        print("no openssl")
        sys.exit(77)
    run([password, token, nkey, creds, tls, tls_name, tls_client_certificate, tls_wanted])

"""Requests with an answer that is known beforehand, held against the document as well: every status, every error."""

import json

import schemathesis
import yaml
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from callers import basic
from contract import METHODS, allowed, check_method_not_allowed, check_no_null, documented
from server import DOCUMENT, FILES, TOOLS

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
CONFORMANCE = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCESS_TOKEN, JWT = (f"urn:ietf:params:oauth:token-type:{name}" for name in ("access_token", "jwt"))
BASIC = 'Basic realm="latchkey", charset="UTF-8"'
# 16 KiB and one byte.
TOO_LONG = b"x" * (16 * 1024 + 1)


class Directed:
    def __init__(self, callers, seen):
        self.callers, self.seen, self.count, self.errors = callers, seen, 0, set()
        self.schema = schemathesis.openapi.from_dict(yaml.safe_load(DOCUMENT.read_text()))
        self.http = callers.http

    def send(self, label, status, error=None, *, auth=None, json=None, form=None, headers=None, url=None, path=None, **rest):
        """The answer of one operation: this status and error, and in every other respect as documented."""
        method, template = label.split()
        headers = dict(headers or {})
        if auth:
            headers["Authorization"] = auth
        target = (url or self.callers.url) + template.format(**path or {})
        response = self.http.request(method, target, headers=headers, json=json, data=form, timeout=30, allow_redirects=False, **rest)
        self.count += 1
        self.seen.add((label, response.status_code))
        if "json" in response.headers.get("Content-Type", "") and response.status_code >= 400:
            self.errors.add((label, response.json()["error"]))
        told = f"{label}: {response.status_code} {response.text[:300]}"
        assert response.status_code == status, f"{status} expected; {told}"
        if error:
            assert response.json()["error"] == error, f"{error} expected; {told}"
        check_no_null(response)
        self.schema[template][method].Case(path_parameters=path).validate_response(response, checks=CONFORMANCE)
        return response

    def run(self):
        self.issue()
        self.renew()
        self.exchange_for_a_target()
        self.about_a_token()
        self.sessions()
        self.discovery()
        self.protected_resource()
        self.routes_and_methods()

    def issue(self):
        label, portal, secret = "POST /token", self.callers.issuer(), self.callers.issuers["portal"]
        alice = {"subject": "alice", "client_id": "librechat"}
        self.send(label, 200, auth=portal, json=alice)
        in_body = {"issuer_id": "portal", "issuer_secret": secret}
        form = alice | in_body | {"expires_in": "600", "claims": '{"email":"alice@example.org"}'}
        assert self.send(label, 200, form=form).json()["expires_in"] <= 600
        by_assertion = {"client_id": "librechat", "grant_type": JWT_BEARER}
        once = by_assertion | {"assertion": self.callers.assertion()}
        self.send(label, 200, form=once | {"expires_in": "600"})
        for assertion in (once["assertion"], "x", self.callers.assertion()[:-4] + "AAAA"):
            self.send(label, 400, "invalid_grant", json=by_assertion | {"assertion": assertion})
        once = by_assertion | {"assertion": self.callers.assertion()}
        for members in ({"subject": "mallory"}, {"claims": {"email": "mallory@example.org"}}, {"assertion": 1}):
            self.send(label, 400, "invalid_request", json=once | members)
        # Credentials beside an assertion are checked: these are another issuer's.
        self.send(label, 401, "invalid_client", json=once | in_body)
        self.send(label, 401, "invalid_client", auth=portal, json=once)
        self.send(label, 200, json=once | {"subject": "", "claims": {}, "issuer_id": ""})
        # An issuer of one client need not name it. This client has no scopes, so no answer about it has any.
        plain = self.send(label, 200, auth=self.callers.issuer("back-office"), json={"subject": "dora"}).json()
        assert "scope" not in plain and "id_token" not in plain, sorted(plain)
        for token in (plain["access_token"], plain["refresh_token"]):
            said = self.send("POST /token/introspect", 200, auth=portal, json={"token": token}).json()
            assert said["active"] and "scope" not in said, said
        listed = self.send("GET /sessions", 200, auth=portal, params={"subject": "dora"}).json()["sessions"]
        assert len(listed) == 1 and "scope" not in listed[0], listed
        for members, error in [
            ({}, "invalid_request"),
            ({"subject": 1}, "invalid_request"),
            ({"subject": "a\nb"}, "invalid_request"),
            ({"subject": "é" * 128}, "invalid_request"),
            ({"subject": "alice "}, "invalid_request"),
            ({"subject": "ali\u200bce"}, "invalid_request"),
            (alice | {"scope": "admin"}, "invalid_scope"),
            (alice | {"scope": "openid  email"}, "invalid_scope"),
            (alice | {"claims": {"sub": "mallory"}}, "invalid_request"),
            (alice | {"claims": {"email": "x" * 2048}}, "invalid_request"),
            (alice | {"expires_in": 0}, "invalid_request"),
            (alice | {"expires_in": "60"}, "invalid_request"),
            (alice | {"nonce": "x" * 256}, "invalid_request"),
            (alice | in_body, "invalid_request"),
            (alice | {"issuer_id": 1}, "invalid_request"),
            (alice | {"client_id": "nobody"}, "unauthorized_client"),
            ({"subject": "alice"}, "invalid_request"),
            (alice | {"grant_type": "password"}, "unsupported_grant_type"),
        ]:
            self.send(label, 400, error, auth=portal, json=members)
        self.send(label, 400, "invalid_request", auth=portal, form=b"subject=alice&subject=alice", headers={"Content-Type": FORM})
        self.send(label, 400, "invalid_request", auth=portal, json=alice, params={"scope": "openid"})
        self.unauthenticated(label, alice, ("issuer_id", "issuer_secret"))
        self.unreadable(label, portal)
        self.send(label, 503, auth=portal, json=alice | {"client_id": "keyless"})

    def renew(self):
        label, chat, issue = "POST /token/renew", self.callers.client("librechat"), self.callers.issue
        first = both(issue("librechat"))
        second = self.send(label, 200, auth=chat, json=first).json()
        retried = self.send(label, 200, auth=chat, form=first).json()
        assert retried["refresh_token"] == second["refresh_token"], "a retry gets the same successor"
        self.send(label, 200, auth=chat, json=both(second) | {"scope": "email", "resource": "librechat", "grant_type": "refresh_token"})
        grant = self.send(label, 400, "invalid_grant", auth=chat, json=first)

        tokens, other = both(issue("librechat")), both(issue("librechat", "bob"))
        # Whatever is wrong with a token, the answer is the same, byte for byte.
        for members in [
            tokens | {"refresh_token": "lk1_"},
            tokens | {"refresh_token": other["refresh_token"]},
            tokens | {"refresh_token": issue("oauth")["refresh_token"]},
            tokens | {"access_token": other["access_token"][:-4] + "AAAA"},
        ]:
            assert self.send(label, 400, "invalid_grant", auth=chat, json=members).content == grant.content
        for members, error in [
            ({}, "invalid_request"),
            (tokens | {"refresh_token": ""}, "invalid_request"),
            ({"refresh_token": tokens["refresh_token"]}, "invalid_request"),
            (tokens | {"scope": 'a"b'}, "invalid_scope"),
            (tokens | {"resource": ["librechat", "Librechat"]}, "invalid_target"),
            (tokens | {"resource": 1}, "invalid_request"),
            (tokens | {"grant_type": "password"}, "unsupported_grant_type"),
            (tokens | {"client_id": "librechat", "client_secret": self.callers.clients["librechat"]}, "invalid_request"),
            (tokens | {"client_secret": 1}, "invalid_request"),
        ]:
            self.send(label, 400, error, auth=chat, json=members)
        bearer = "Bearer " + tokens["access_token"]
        self.send(label, 400, "invalid_request", auth=bearer, json=tokens)
        early = self.send(label, 400, "invalid_request", auth=self.callers.client("early"), json=both(issue("early")))
        assert int(early.headers["Retry-After"]) > 80_000, early.headers

        # A public client: by its id, by Basic without a password, by its access token.
        tokens = both(issue("browser"))
        with_bearer = {"refresh_token": tokens["refresh_token"]}
        self.send(label, 200, auth="Bearer " + tokens["access_token"], json=with_bearer)
        self.send(label, 200, json=tokens)
        tokens = {"refresh_token": issue("app")["refresh_token"]}
        self.send(label, 200, json=tokens | {"client_id": "app"})
        self.send(label, 200, auth=basic("app", ""), json=tokens)
        self.send(label, 400, "invalid_request", json=tokens)
        self.unauthenticated(label, both(issue("librechat")), ("client_id", "client_secret"))
        self.send(label, 401, "invalid_client", json=tokens | {"client_id": "librechat"})
        self.client_assertion(label, tokens)
        self.unreadable(label, chat)

    def exchange_for_a_target(self):
        label, chat, issue = "POST /token/renew", self.callers.client("librechat"), self.callers.issue
        user = issue("librechat")["access_token"]
        asked = {"grant_type": TOKEN_EXCHANGE, "subject_token": user, "subject_token_type": ACCESS_TOKEN}
        answer = self.send(label, 200, auth=chat, json=asked | {"resource": TOOLS}).json()
        first = answer.pop("access_token")
        told = {"issued_token_type": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300, "scope": "tools read"}
        assert answer == told, answer
        for named in [{"audience": TOOLS}, {"audience": [TOOLS, TOOLS], "resource": TOOLS}, {"resource": [TOOLS], "actor_token": ""}]:
            self.send(label, 200, auth=chat, json=asked | named)
            self.send(label, 200, auth=chat, form=asked | named | {"scope": "read"})
        jwt = {"audience": TOOLS, "subject_token_type": JWT, "requested_token_type": JWT}
        assert self.send(label, 200, auth=chat, json=asked | jwt).json()["issued_token_type"] == JWT
        behalf = {"grant_type": JWT_BEARER, "assertion": user, "requested_token_use": "on_behalf_of"}
        for named in [{"scope": "files read"}, {"audience": FILES}, {"resource": [FILES], "scope": ""}]:
            self.send(label, 200, auth=chat, form=behalf | named)
            self.send(label, 200, auth=chat, json=behalf | named)
        # A target passes it on in its turn. Its entry has no scopes.
        second = self.send(label, 200, auth=self.callers.client("tools"), json=asked | {"subject_token": first, "audience": FILES}).json()
        assert "scope" not in second, second
        said = self.send("POST /token/introspect", 200, auth=self.callers.issuer(), json={"token": second["access_token"]}).json()
        assert said["aud"] == [FILES] and said["act"] == {"sub": "tools", "act": {"sub": "librechat"}}, said

        tools = asked | {"audience": TOOLS}
        for members, error in [
            (asked, "invalid_request"),
            (asked | {"audience": "", "resource": []}, "invalid_request"),
            (asked | {"audience": [1]}, "invalid_request"),
            (tools | {"subject_token": ""}, "invalid_request"),
            (tools | {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
            (tools | {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
            (tools | {"actor_token": user}, "invalid_request"),
            (tools | {"actor_token_type": ACCESS_TOKEN}, "invalid_request"),
            (behalf | {"requested_token_use": "other"}, "invalid_request"),
            (behalf | {"assertion": ""}, "invalid_request"),
            (tools | {"resource": FILES}, "invalid_target"),
            (asked | {"audience": "librechat"}, "invalid_target"),
            (behalf, "invalid_target"),
            (behalf | {"scope": "read"}, "invalid_target"),
            (tools | {"scope": "files"}, "invalid_scope"),
            (tools | {"subject_token": user[:-4] + "AAAA"}, "invalid_grant"),
        ]:
            self.send(label, 400, error, auth=chat, json=members)
        # The user's own token is not meant for the target.
        self.send(label, 400, "invalid_grant", auth=self.callers.client("tools"), json=asked | {"audience": FILES})
        self.send(label, 400, "unauthorized_client", json=tools | {"client_id": "app"})
        self.send(label, 400, "invalid_target", auth=self.callers.client("oauth"), json=tools)
        self.unauthenticated(label, tools, ("client_id", "client_secret"))
        for label in ("GET /userinfo", "POST /userinfo"):
            self.send(label, 401, "invalid_token", auth="Bearer " + first)
        assert self.send("POST /token/revoke", 200, auth=chat, json={"token": first}).json() == {}
        assert self.send("POST /token/introspect", 200, auth=chat, json={"token": first}).json()["active"] is True

    def about_a_token(self):
        portal, chat, issue = self.callers.issuer(), self.callers.client("librechat"), self.callers.issue
        for label in ("POST /token/introspect", "POST /token/revoke"):
            self.send(label, 400, "invalid_request", auth=portal, json={})
            self.send(label, 400, "invalid_request", auth=portal, json={"token": 1})
            twice = {"token": "x", "client_id": "librechat", "client_secret": self.callers.clients["librechat"]}
            self.send(label, 400, "invalid_request", auth=portal, json=twice)
            self.send(label, 400, "invalid_request", json={"token": "x", "issuer_id": "portal", "client_id": "librechat"})
            self.unauthenticated(label, {"token": "x"}, ("client_id", "client_secret"))
            self.unauthenticated(label, {"token": "x"}, ("issuer_id", "issuer_secret"))
            self.client_assertion(label, {"token": "x"})
            self.unreadable(label, portal)

        tokens = issue("librechat")
        label, hint = "POST /token/introspect", {"token_type_hint": "refresh_token"}
        access, refresh = {"token": tokens["access_token"]}, {"token": tokens["refresh_token"]}
        assert self.send(label, 200, auth=chat, json=access).json()["sub"] == "alice"
        assert self.send(label, 200, auth=portal, form=access).json()["token_type"] == "Bearer"
        assert self.send(label, 200, auth=portal, json=refresh | hint).json()["active"] is True
        oauth = self.callers.client("oauth")
        # All clients here have the same audience.
        assert self.send(label, 200, auth=oauth, json=access).json()["client_id"] == "librechat"
        inactive = [(chat, refresh), (chat, {"token": tokens["id_token"]}), (oauth, refresh)]
        for caller, token in inactive:
            assert self.send(label, 200, auth=caller, json=token).json() == {"active": False}
        self.send(label, 401, "invalid_client", json=access | {"client_id": "app"})

        label = "POST /token/revoke"
        assert self.send(label, 200, auth=self.callers.client("oauth"), json=refresh).json() == {}
        assert self.send("POST /token/introspect", 200, auth=portal, json=refresh).json()["active"] is True
        assert self.send(label, 200, auth=chat, json=refresh | hint).json() == {}
        assert self.send("POST /token/introspect", 200, auth=portal, json=refresh).json() == {"active": False}
        self.send(label, 200, json={"token": issue("app")["refresh_token"], "client_id": "app"})

    def sessions(self):
        portal, issue = self.callers.issuer(), self.callers.issue
        carol = [issue(client, "carol", scope="openid")["session_id"] for client in ("librechat", "oauth")]
        one = "DELETE /sessions/{session_id}"
        for label in ("GET /sessions", "DELETE /sessions"):
            for query in [{}, {"subject": ""}, {"subject": "a\nb"}, {"subject": "\u202ecarol"}, {"subject": "carol", "token": "x"}]:
                self.send(label, 400, "invalid_request", auth=portal, params=query)
            self.send(label, 400, "unauthorized_client", auth=portal, params={"subject": "carol", "client_id": "nobody"})
        self.send(one, 400, "invalid_request", auth=portal, path={"session_id": "carol"})
        for label in ("GET /sessions", "DELETE /sessions", one):
            parts = {"params": {"subject": "carol"}} if label != one else {"path": {"session_id": carol[0]}}
            self.send(label, 401, "invalid_client", **parts)
            for auth in [basic("portal", "wrong"), self.callers.client("librechat")]:
                refused = self.send(label, 401, "invalid_client", auth=auth, **parts)
                assert refused.headers["WWW-Authenticate"] == BASIC, label

        def listed(**query):
            answer = self.send("GET /sessions", 200, auth=portal, params={"subject": "carol", **query})
            return [session["session_id"] for session in answer.json()["sessions"]]

        assert sorted(listed()) == sorted(carol) and listed(client_id="oauth") == [carol[1]]
        page = self.send("GET /sessions", 200, auth=portal, params={"subject": "carol", "limit": "1"}).json()
        assert len(page["sessions"]) == 1 and listed(next=page["next"]) == [other for other in carol if other != page["next"]]
        for query in [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"next": "x"}, {"next": "A" * 43}]:
            self.send("GET /sessions", 400, "invalid_request", auth=portal, params={"subject": "carol", **query})
        for ended in (1, 0):
            assert self.send(one, 200, auth=portal, path={"session_id": carol[0]}).json() == {"ended": ended}
        assert self.send("DELETE /sessions", 200, auth=portal, params={"subject": "carol"}).json() == {"ended": 1}
        assert listed() == []

    def discovery(self):
        for path in [path for _, path in documented() if path.startswith("/.well-known/") and "{" not in path]:
            tag = self.send(f"GET {path}", 200).headers["ETag"]
            self.send(f"GET {path}", 304, headers={"If-None-Match": tag})
        keys = self.send("GET /.well-known/jwks.json", 200).json()["keys"]
        assert sorted(key["alg"] for key in keys) == ["ES256", "EdDSA", "RS256"], keys

    def protected_resource(self):
        label, tokens = "GET /demo/me", self.callers.issue("librechat")
        assert self.send(label, 200, auth="Bearer " + tokens["access_token"]).json()["sub"] == "alice"
        for auth in [None, self.callers.issuer(), "Bearer x", "Bearer " + tokens["id_token"]]:
            self.send(label, 401, "invalid_token", auth=auth)

    def routes_and_methods(self):
        """405 for every method that a path does not take, TRACE among them; 404 for every other path."""
        for path in sorted({path for _, path in documented()}):
            target = self.callers.url + path.format(**{"session_id": "A" * 43, "issuer_path+": "prod"})
            for method in sorted({method.upper() for method in METHODS} - set(allowed(path))) + ["QUERY", "NONSENSE"]:
                response = Response.from_any(self.http.request(method, target, timeout=30))
                check_method_not_allowed(path, response)
                self.count += 1
        unknown = ["/tokens", "/token/", "/sessions/", "/sessions/a/b", "/.well-known/", "/.well-known/jwks", "/demo/you"]
        unknown += ["/authorize/", "/authorize/accept/x", "/userinfo/x", "/sign-out/x", "/.well-known/jwks.json/prod"]
        for path in unknown:
            response = self.http.get(self.callers.url + path, timeout=30)
            assert response.status_code == 404 and response.json()["error"] == "invalid_request", path
            self.count += 1

    def unavailable(self, url, tokens, ticket):
        """Of a server whose table is gone: 503 from every operation that needs it."""
        portal, chat = self.callers.issuer(), self.callers.client("librechat")
        access, refresh = tokens["access_token"], tokens["refresh_token"]
        for label, parts in {
            "POST /token": {"auth": portal, "json": {"subject": "alice", "client_id": "librechat"}},
            "POST /token/renew": {"auth": chat, "json": both(tokens)},
            "POST /token/revoke": {"auth": chat, "json": {"token": refresh}},
            "POST /token/introspect": {"auth": chat, "json": {"token": access}},
            "POST /authorize/accept": {"auth": portal, "json": {"ticket": ticket, "subject": "alice"}},
            "GET /userinfo": {"auth": "Bearer " + access},
            "POST /userinfo": {"auth": "Bearer " + access},
            "GET /sessions": {"auth": portal, "params": {"subject": "alice"}},
            "DELETE /sessions": {"auth": portal, "params": {"subject": "alice"}},
            "DELETE /sessions/{session_id}": {"auth": portal, "path": {"session_id": tokens["session_id"]}},
            "GET /demo/me": {"auth": "Bearer " + access},
        }.items():
            self.send(label, 503, "temporarily_unavailable", url=url, **parts)
        exchange = {"grant_type": TOKEN_EXCHANGE, "subject_token": access, "subject_token_type": ACCESS_TOKEN, "resource": TOOLS}
        self.send("POST /token/renew", 503, "temporarily_unavailable", url=url, auth=chat, json=exchange)
        hint = {"id_token_hint": tokens["id_token"]}
        self.send("GET /sign-out", 503, url=url, params=hint)
        self.send("POST /sign-out", 503, url=url, form=hint)

    def unauthenticated(self, label, members, names):
        """401; the scheme is named only to those who used the header."""
        wrong = {names[0]: "portal" if names[0] == "issuer_id" else "librechat", names[1]: "wrong"}
        for auth, body in [(basic(*wrong.values()), members), ("Digest x", members), (None, members | wrong)]:
            refused = self.send(label, 401, "invalid_client", auth=auth, json=body)
            assert refused.headers.get("WWW-Authenticate") == (BASIC if auth else None), f"{label}: {refused.headers}"

    def client_assertion(self, label, members):
        kind = {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        self.send(label, 401, "invalid_client", json=members | kind | {"client_assertion": self.callers.assertion()})
        for incomplete in (kind, {"client_assertion": "x"}, {"client_assertion": "x", "client_assertion_type": "x"}):
            self.send(label, 400, "invalid_request", json=members | incomplete)

    def unreadable(self, label, auth):
        self.send(label, 413, "invalid_request", auth=auth, form=TOO_LONG, headers={"Content-Type": FORM})
        for media_type in ["text/plain", "multipart/form-data; boundary=x", "application/json; charset=utf-16"]:
            self.send(label, 415, "invalid_request", auth=auth, form=b"{}", headers={"Content-Type": media_type})
        for body in [b"", b"[]", b'{"subject":1,"subject":1}', b'{"a":' * 17 + b"1" + b"}" * 17, b'"\xff"']:
            self.send(label, 400, "invalid_request", auth=auth, form=body, headers={"Content-Type": JSON})


def both(tokens):
    return {name: tokens[name] for name in ("refresh_token", "access_token")}

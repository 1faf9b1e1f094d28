"""The same for sign-in: what browsers, issuers and clients send in turn, and where the browser is sent."""

import time

from callers import parameters
from directed import FORM, TOO_LONG, Directed, both
from server import AFTERWARDS, AUDIENCE, BACK, REGISTERED, SIGN_IN, SIGN_OUT


class DirectedSignIn(Directed):
    def run(self):
        super().run()
        self.begin()
        self.issuer_answers()
        self.come_back()
        self.exchange()
        self.userinfo()
        self.sign_out()
        self.register()

    def begin(self):
        """To the issuer with a ticket, back to the client with an error, or a page."""
        begun = self.callers.begin("librechat", state="a&b ü", login_hint="alice", prompt="login")
        query = begun.query(state="a&b ü", nonce="n", scope="openid email agents", audience="x", login_hint="alice", ui_locales="de")
        sent_on = self.send("GET /authorize", 302, params=query)
        address, _, rest = sent_on.headers["Location"].partition("?")
        told = parameters(f"?{rest}")
        assert address == SIGN_IN and told.pop("ticket").startswith("lkt1_"), told
        assert told == {"client_id": "librechat", "login_hint": "alice", "ui_locales": "de"}, told
        name, *attributes = [part.strip() for part in sent_on.headers["Set-Cookie"].split(";")]
        assert name.startswith("latchkey-sign-in=") and {"HttpOnly", "SameSite=Lax"} <= set(attributes), attributes
        kept = {"Cookie": begun.cookie}
        again = self.send("GET /authorize", 302, params=query, headers=kept).headers.get("Set-Cookie", begun.cookie)
        assert again.startswith(begun.cookie), "tabs share a cookie"
        self.send("POST /authorize", 302, form=query, headers=kept)
        by_get = self.send("POST /authorize", 303, form=query).headers["Location"]
        assert by_get.startswith(f"{self.callers.url}/authorize?") and parameters(by_get)["state"] == "a&b ü", by_get

        # Nobody to tell: a page.
        other = "https://elsewhere.example.org/callback"
        for changed in [{"client_id": "nobody"}, {"client_id": None}, {"redirect_uri": other}, {"redirect_uri": None}, {"client_id": "early"}]:
            self.send("GET /authorize", 400, params=begun.query(**changed))
            self.send("POST /authorize", 400, form=begun.query(**changed), headers=kept)
        self.send("GET /authorize", 400, params=begun.query(login_hint="x" * 4096))
        # The client is told everything else.
        for changed, error in [
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": None}, "invalid_request"),
            ({"response_mode": "fragment"}, "invalid_request"),
            ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
            ({"code_challenge": "short"}, "invalid_request"),
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"prompt": "none login"}, "invalid_request"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"nonce": "x" * 256}, "invalid_request"),
            ({"scope": "agents"}, "invalid_scope"),
            ({"resource": [AUDIENCE[1], "https://tools.example.org"]}, "invalid_target"),
            ({"request": "x"}, "request_not_supported"),
            ({"request_uri": "https://a.example"}, "request_uri_not_supported"),
            ({"registration": "{}"}, "registration_not_supported"),
        ]:
            for label, parts in {"GET /authorize": "params", "POST /authorize": "form"}.items():
                refused = self.send(label, 302, headers=kept, **{parts: begun.query(state="s", **changed)})
                self.back_with(refused, error)
        twice = [*begun.query(state="s").items(), ("prompt", "none"), ("prompt", "none")]
        self.back_with(self.send("GET /authorize", 302, params=twice), "invalid_request")
        # A native app listens on the port that it gets (RFC 8252 §7.3).
        app = self.callers.begin("app")
        self.send("GET /authorize", 302, params=app.query(redirect_uri="http://127.0.0.1:49152/callback"))

    def back_with(self, response, error):
        """The browser goes back to the client, with this error."""
        address, _, rest = response.headers["Location"].partition("?")
        told = parameters(f"?{rest}")
        assert address == BACK and told["error"] == error, f"{error} expected: {told}"
        assert told["state"] == "s" and told["iss"] == self.callers.url, told

    def issuer_answers(self):
        portal, back_office = self.callers.issuer(), self.callers.issuer("back-office")
        begin = self.callers.begin
        ticket = {"ticket": begin("librechat", scope="openid email", max_age="60", login_hint="alice", acr_values="silver").ticket}
        label = "POST /authorize/inspect"
        for parts in ({"json": ticket}, {"form": ticket}):
            asked = self.send(label, 200, auth=portal, **parts).json()
            assert 590 < asked.pop("expires_in") <= 600, asked
            assert asked == {
                "client_id": "librechat",
                "redirect_uri": BACK,
                "scope": "openid email",
                "max_age": 60,
                "login_hint": "alice",
                "acr_values": "silver",
                "registered": False,
            }, asked
        label = "POST /authorize/accept"
        alice, now = ticket | {"subject": "alice"}, int(time.time())
        for members, error in [
            (ticket, "invalid_request"),
            (alice, "invalid_request"),
            (alice | {"auth_time": now - 3600}, "invalid_request"),
            (alice | {"auth_time": now, "subject": "alice "}, "invalid_request"),
            (alice | {"auth_time": now, "claims": {"email": "x" * 2048}}, "invalid_request"),
            (alice | {"auth_time": now, "expires_in": 0}, "invalid_request"),
            (alice | {"auth_time": now, "scope": "profile"}, "invalid_scope"),
        ]:
            self.send(label, 400, error, auth=portal, json=members)
        self.send(label, 200, auth=portal, form=alice | {"auth_time": now, "amr": "pwd otp", "claims": '{"email":"alice@example.org"}'})
        more = {"auth_time": now, "acr": "silver", "amr": ["pwd"], "scope": "openid", "expires_in": 600}
        accepted = self.send(label, 200, auth=portal, json=alice | more | {"claims": {"email": "a@example.org", "shoe_size": 38, "sub": "bob"}})
        assert sorted(accepted.json()["ignored_claims"]) == ["shoe_size", "sub"], accepted.text
        label = "POST /authorize/reject"
        for error in ("access_denied", "login_required", "temporarily_unavailable"):
            self.send(label, 200, auth=portal, json=ticket | {"error": error, "error_description": "not today"})
        for members in ({}, {"error": "server_error"}, {"error": "access_denied", "error_description": 'a"b'}):
            self.send(label, 400, "invalid_request", auth=portal, form=ticket | members)
        members = {"subject": "alice", "error": "access_denied"}
        for label in (f"POST /authorize/{name}" for name in ("inspect", "accept", "reject")):
            for wrong in ("x", "lkt1_", ticket["ticket"][:-4] + "AAAA"):
                self.send(label, 400, "invalid_request", auth=portal, json=members | {"ticket": wrong})
            self.send(label, 400, "unauthorized_client", auth=back_office, json=members | ticket | {"auth_time": now})
            self.unauthenticated(label, members | ticket, ("issuer_id", "issuer_secret"))
            self.unreadable(label, portal)

    def come_back(self):
        label, query = "GET /authorize/return", {"state": "s"}
        begun = self.callers.begin("librechat", **query)
        kept, answer = {"Cookie": begun.cookie}, parameters(self.callers.accept(begun))
        codes = set()
        for _ in range(2):
            back = self.send(label, 302, params=answer, headers=kept).headers["Location"]
            told = parameters(back)
            assert back.startswith(f"{BACK}?") and told.keys() == {"code", "state", "iss"}, told.keys()
            assert told["state"] == "s" and told["iss"] == self.callers.url, told
            codes.add(told["code"])
        assert len(codes) == 1, "the same code again"
        for headers in ({}, {"Cookie": self.callers.begin("librechat").cookie}, {"Cookie": "latchkey-sign-in=x"}):
            self.send(label, 400, params=answer, headers=headers)
        for wrong in ({}, {"answer": "x"}, {"answer": answer["answer"][:-4] + "AAAA"}, {"answer": begun.ticket}):
            self.send(label, 400, params=wrong, headers=kept)
        rejected = {"ticket": begun.ticket, "error": "login_required"}
        told = self.send("POST /authorize/reject", 200, auth=self.callers.issuer(), json=rejected).json()
        self.back_with(self.send(label, 302, params=parameters(told["redirect_to"]), headers=kept), "login_required")

    def exchange(self):
        label, chat, code = "POST /token/renew", self.callers.client("librechat"), self.callers.code
        good = code("librechat")
        for members in [
            good | {"code_verifier": "x" * 43},
            good | {"redirect_uri": AFTERWARDS},
            good | {"code": good["code"][:-4] + "AAAA"},
            {name: value for name, value in good.items() if name != "code_verifier"},
        ]:
            self.send(label, 400, "invalid_grant", auth=chat, form=members)
        self.send(label, 400, "invalid_grant", auth=self.callers.client("actions"), form=good)
        self.send(label, 400, "invalid_target", auth=chat, form=good | {"resource": "https://tools.example.org"})
        self.send(label, 400, "invalid_request", auth=chat, form={"grant_type": "authorization_code"})
        self.unauthenticated(label, good, ("client_id", "client_secret"))
        # It is as good as it was.
        tokens = self.send(label, 200, auth=chat, form=good | {"resource": AUDIENCE}).json()
        renewed = self.send(label, 200, auth=chat, json=both(tokens)).json()
        self.send(label, 400, "invalid_grant", auth=chat, form=good)
        self.send(label, 400, "invalid_grant", auth=chat, json=both(renewed))
        self.send(label, 200, json=code("app") | {"client_id": "app"})
        # No challenge, no verifier.
        plain = code("actions")
        self.send(label, 400, "invalid_grant", auth=self.callers.client("actions"), json=plain | {"code_verifier": "x" * 43})
        self.send(label, 200, auth=self.callers.client("actions"), json=plain)

    def userinfo(self):
        issue, portal = self.callers.issue, self.callers.issuer()
        claims = {"email": "alice@example.org"}
        tokens = issue("librechat", claims=claims)
        for label in ("GET /userinfo", "POST /userinfo"):
            said = self.send(label, 200, auth="Bearer " + tokens["access_token"]).json()
            assert said == {"sub": "alice", **claims}, said
            for auth in (None, portal, "Bearer x", "Bearer " + tokens["id_token"]):
                self.send(label, 401, "invalid_token", auth=auth)
            without = issue("librechat", scope="email")["access_token"]
            self.send(label, 403, "insufficient_scope", auth="Bearer " + without)
            self.send(label, 400, "invalid_request", auth="Bearer")
        in_body = {"access_token": tokens["access_token"]}
        for parts in ({"json": in_body}, {"form": in_body}):
            assert self.send(label, 200, **parts).json() == said
            self.send(label, 400, "invalid_request", auth="Bearer " + tokens["access_token"], **parts)
        self.send(label, 413, "invalid_request", form=TOO_LONG, headers={"Content-Type": FORM})
        self.send(label, 415, "invalid_request", form=b"{}", headers={"Content-Type": "text/plain"})

    def register(self):
        label, metadata = "POST /register", {"redirect_uris": REGISTERED}
        client = self.send(label, 201, json=metadata | {"client_name": "An MCP client"}).json()
        assert client["redirect_uris"] == REGISTERED and client["scope"] == "openid profile email", client
        public = self.send(label, 201, json=metadata | {"token_endpoint_auth_method": "none"}).json()
        assert "client_secret" not in public, public
        for addresses in ([], "x", ["https://chat.example.com/api/mcp/github/oauth/callback"], REGISTERED * 5):
            self.send(label, 400, "invalid_redirect_uri", json={"redirect_uris": addresses})
        for asked in ({"token_endpoint_auth_method": "private_key_jwt"}, {"grant_types": ["refresh_token"]}, {"response_types": ["token"]}):
            self.send(label, 400, "invalid_client_metadata", json=metadata | asked)
        self.unreadable(label, None)
        self.send(label, 415, "invalid_request", form={"redirect_uris": REGISTERED[0]})

    def sign_out(self):
        portal, afterwards = self.callers.issuer(), {"post_logout_redirect_uri": AFTERWARDS}
        for label, parts in {"GET /sign-out": "params", "POST /sign-out": "form"}.items():

            def sign_out(status, **query):
                return self.send(label, status, **{parts: query}).headers.get("Location", "")

            tokens = self.callers.issue("librechat")
            hint, access = {"id_token_hint": tokens["id_token"]}, {"token": tokens["access_token"]}
            for query in [
                {"id_token_hint": tokens["id_token"][:-4] + "AAAA"},
                {"id_token_hint": tokens["access_token"]},
                hint | {"client_id": "app"},
            ]:
                sign_out(400, **query, **afterwards)
            sign_out(400, **afterwards)
            sign_out(200, client_id="plain", **afterwards)
            assert sign_out(302, client_id="librechat", **afterwards).startswith(SIGN_OUT), "without a hint"
            assert self.send("POST /token/introspect", 200, auth=portal, json=access).json()["active"] is True
            away = sign_out(302, **hint, **afterwards, state="a&b")
            assert away.startswith(f"{SIGN_OUT}?") and parameters(away) == {"return_to": f"{AFTERWARDS}?state=a%26b"}, away
            assert self.send("POST /token/introspect", 200, auth=portal, json=access).json() == {"active": False}
            assert sign_out(302, **hint, post_logout_redirect_uri=BACK, state="s") == SIGN_OUT, "not registered: left out"

    def metadata_of_a_path(self, url):
        """Of a server whose issuer is https://id.example.org/prod."""
        for name in ("openid-configuration", "oauth-authorization-server"):
            label = f"GET /.well-known/{name}/{{issuer_path+}}"
            there, elsewhere = {"issuer_path+": "prod"}, {"issuer_path+": "test"}
            served = self.send(label, 200, url=url, path=there)
            assert served.json()["issuer"] == "https://id.example.org/prod", served.text
            self.send(label, 304, url=url, path=there, headers={"If-None-Match": served.headers["ETag"]})
            self.send(label, 404, "invalid_request", url=url, path=elsewhere)
            # An issuer without a path.
            self.send(label, 404, "invalid_request", path=there)

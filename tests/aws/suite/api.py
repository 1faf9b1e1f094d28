"""The deployed API over HTTP, through the emulated API Gateway."""

import base64
import http.client
import json
from urllib.parse import urlencode, urlsplit


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.text = response.read().decode()

    def json(self):
        return json.loads(self.text)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.text[:500]}"


class Api:
    def __init__(self, url, port):
        # Its name ends in .localhost and need not resolve: the connection goes to the emulator by address.
        self.host, self.port = urlsplit(url).netloc, port

    def request(self, method, path, form=None, basic=None, headers=None):
        headers = {"Host": self.host, "User-Agent": "deployment-test", **(headers or {})}
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        if basic:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(basic).encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def issue(self, issuer, **form):
        return self.request("POST", "/token", form, issuer)

    def renew(self, client, tokens, **form):
        form = {"refresh_token": tokens["refresh_token"], "access_token": tokens["access_token"], **form}
        return self.request("POST", "/token/renew", form, client)

    def revoke(self, caller, token):
        return self.request("POST", "/token/revoke", {"token": token}, caller)

    def introspect(self, caller, token):
        return self.request("POST", "/token/introspect", {"token": token}, caller)

    def sessions(self, method, issuer, subject):
        return self.request(method, "/sessions?" + urlencode({"subject": subject}), basic=issuer)

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def jwks(self):
        return self.get("/.well-known/jwks.json")

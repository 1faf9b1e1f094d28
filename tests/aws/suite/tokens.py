"""An offline verifier that knows nothing but a JWKS, as the libraries of others would be."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils


class Refused(Exception):
    pass


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text):
    return int.from_bytes(decode(text), "big")


def parts(token):
    header, claims, _ = token.split(".")
    return json.loads(decode(header)), json.loads(decode(claims))


def verify(token, jwks, issuer, audience):
    """The claims of a token that is good now."""
    header, claims = parts(token)
    keys = [key for key in jwks["keys"] if key["kid"] == header["kid"]]
    if len(keys) != 1:
        raise Refused(f"unknown kid {header['kid']}")
    if keys[0]["alg"] != header["alg"]:
        raise Refused("the key is for another algorithm")
    signed, _, signature = token.rpartition(".")
    try:
        check(keys[0], signed.encode(), decode(signature))
    except InvalidSignature:
        raise Refused("bad signature") from None
    return valid(claims, issuer, audience)


def verify_hs256(token, secret, issuer, audience):
    header, claims = parts(token)
    signed, _, signature = token.rpartition(".")
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    if header["alg"] != "HS256" or not hmac.compare_digest(expected, decode(signature)):
        raise Refused("bad signature")
    return valid(claims, issuer, audience)


def valid(claims, issuer, audience):
    accepted = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if claims["iss"] != issuer or audience not in accepted:
        raise Refused("for somebody else")
    if claims["exp"] <= time.time():
        raise Refused("expired")
    return claims


def check(key, signed, signature):
    algorithm = key["alg"]
    if algorithm in ("RS256", "PS256"):
        public = rsa.RSAPublicNumbers(number(key["e"]), number(key["n"])).public_key()
        scheme = padding.PKCS1v15() if algorithm == "RS256" else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        public.verify(signature, signed, scheme, hashes.SHA256())
    elif algorithm == "ES256":
        public = ec.EllipticCurvePublicNumbers(number(key["x"]), number(key["y"]), ec.SECP256R1()).public_key()
        halves = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        public.verify(utils.encode_dss_signature(*halves), signed, ec.ECDSA(hashes.SHA256()))
    elif algorithm == "EdDSA":
        ed25519.Ed25519PublicKey.from_public_bytes(decode(key["x"])).verify(signature, signed)
    else:
        raise Refused(f"unknown algorithm {algorithm}")

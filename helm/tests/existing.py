"""The secrets and ConfigMaps that values/*.yaml name: real certificates, keys and seeds."""

import base64
import binascii
import json
import secrets

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def seed():
    """An nkey seed of a user: two bytes that say so, 32 random ones, a checksum."""
    raw = bytes([0x95, 0x00]) + secrets.token_bytes(32)
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).rstrip(b"=")


def credentials():
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "U", "nats": {"type": "user"}}).encode()).rstrip(
        b"="
    )
    jwt = b"e30." + claims + b".c2lnbmVk"
    parts = (("NATS USER JWT", jwt), ("USER NKEY SEED", seed()))
    return b"\n".join(
        b"-----BEGIN %b-----\n%b\n------END %b------\n" % (name.encode(), text, name.encode())
        for name, text in parts
    )


def public_key():
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    numbers = key.public_numbers()
    number = lambda value: base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()  # noqa: E731
    jwk = {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "kid": "a",
        "x": number(numbers.x),
        "y": number(numbers.y),
    }
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_bytes(*form), json.dumps({"keys": [jwk]}).encode()


def everything():
    authority = trustme.CA()
    issued = authority.issue_cert("gateway.example")
    certificate = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    tls = {
        "tls.crt": certificate,
        "tls.key": issued.private_key_pem.bytes(),
        "ca.crt": authority.cert_pem.bytes(),
    }
    pem, key_set = public_key()
    found = {
        "nats-gateway": {"nats.creds": credentials()},
        "nats-operator": {"operator.creds": credentials()},
        "nats-nkey": {"gateway.seed": seed()},
        "nats-operator-nkey": {"nats.nk": seed()},
        "nats-gateway-user": {"username": b"gateway", "password": b"gateway-password"},
        "nats-operator-user": {"login": b"operator", "phrase": b"operator-password"},
        "nats-authority": tls,
        "nats-client-tls": tls,
        "nats-operator-tls": tls,
        "gateway-certificate": tls,
        "token-secret": {"secret": secrets.token_urlsafe(48).encode()},
        "token-key": {"public.pem": pem},
        "token-jwks": {"jwks.json": key_set},
    }
    maps = {
        "token-keys": {"next.pem": pem},
        "token-jwks": {"keys.json": key_set},
        "authorities": {"authorities.pem": tls["ca.crt"]},
    }
    kinds = (("secret", found), ("configMap", maps))
    return {
        (kind, name, key): content
        for kind, all_ in kinds
        for name, data in all_.items()
        for key, content in data.items()
    }

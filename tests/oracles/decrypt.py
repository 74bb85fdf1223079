"""Decrypts messages with the Python library http-ece: an oracle that is none of ours.

Lines in: {"private": hex, "auth": base64url, "body": base64, "plain": base64}. Says how many it has decrypted.
"""

import base64
import json
import sys

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec


def unpadded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


count = 0
for line in sys.stdin:
    case = json.loads(line)
    key = ec.derive_private_key(int(case["private"], 16), ec.SECP256R1())
    body = base64.b64decode(case["body"])
    plain = http_ece.decrypt(body, private_key=key, auth_secret=unpadded(case["auth"]), version="aes128gcm")
    if plain != base64.b64decode(case["plain"]):
        sys.exit(f"message {count} is another one than was sent")
    count += 1
print(count)

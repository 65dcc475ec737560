"""Protects and unprotects packets with libsrtp, for TestLibSRTP.

Reads one JSON object: suite, key (hex) and packets, each with rtcp, plain and protected (hex). Writes one for each packet:
protected, what libsrtp makes of plain, and plain, what it makes of protected; empty where it refuses.
"""

import ctypes
import json
import sys

library = ctypes.CDLL("libsrtp2.so.1")

# From srtp.h of libsrtp 2.


class CryptoPolicy(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("cipher", "cipher_key", "auth", "auth_key", "auth_tag", "services")]


class Source(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("value", ctypes.c_uint)]


class Policy(ctypes.Structure):
    _fields_ = [
        ("source", Source), ("rtp", CryptoPolicy), ("rtcp", CryptoPolicy), ("key", ctypes.c_char_p), ("keys", ctypes.c_void_p),
        ("count", ctypes.c_ulong), ("ekt", ctypes.c_void_p), ("window", ctypes.c_ulong), ("repeat", ctypes.c_int),
        ("extensions", ctypes.c_void_p), ("extension_count", ctypes.c_int), ("next", ctypes.c_void_p),
    ]


ANY_INBOUND, ANY_OUTBOUND = 2, 3

# The policies of RTP and of RTCP, whose tag has 80 bits whatever that of RTP has.
POLICIES = {
    "AEAD_AES_128_GCM": ("aes_gcm_128_16_auth",) * 2,
    "AEAD_AES_256_GCM": ("aes_gcm_256_16_auth",) * 2,
    "AES_CM_128_HMAC_SHA1_80": ("rtp_default", "rtcp_default"),
    "AES_CM_128_HMAC_SHA1_32": ("aes_cm_128_hmac_sha1_32", "rtcp_default"),
}
for bits in ("192", "256"):
    for tag in ("80", "32"):
        name = "aes_cm_%s_hmac_sha1_" % bits
        POLICIES["AES_%s_CM_HMAC_SHA1_%s" % (bits, tag)] = (name + tag, name + "80")


def session(suite, key, direction):
    policy = Policy(window=128)
    for part, name in zip((policy.rtp, policy.rtcp), POLICIES[suite]):
        getattr(library, "srtp_crypto_policy_set_" + name)(ctypes.byref(part))
    policy.source.type, policy.key = direction, key + bytes(16)
    made = ctypes.c_void_p()
    status = library.srtp_create(ctypes.byref(made), ctypes.byref(policy))
    if status:
        sys.exit("srtp_create for %s: %d" % (suite, status))
    return made


def call(name, made, packet):
    room, size = ctypes.create_string_buffer(packet, len(packet) + 200), ctypes.c_int(len(packet))
    status = getattr(library, name)(made, room, ctypes.byref(size))
    return "" if status else room.raw[: size.value].hex()


def main():
    wanted = json.load(sys.stdin)
    if library.srtp_init():
        sys.exit("srtp_init")
    key = bytes.fromhex(wanted["key"])
    sender, receiver = session(wanted["suite"], key, ANY_OUTBOUND), session(wanted["suite"], key, ANY_INBOUND)
    answers = []
    for packet in wanted["packets"]:
        kind = "_rtcp" if packet["rtcp"] else ""
        answers.append({
            "protected": call("srtp_protect" + kind, sender, bytes.fromhex(packet["plain"])),
            "plain": call("srtp_unprotect" + kind, receiver, bytes.fromhex(packet["protected"])),
        })
    json.dump(answers, sys.stdout)


main()

"""Header blocks by Python's hpack (in Debian python3-hpack).

usage: hpack_blocks.py SEED COUNT

Prints a line for each block: the block, and the same one with '%' and '/' of :authority exchanged for '-' and '.', both in
hexadecimal. Each connection has some blocks, whose dynamic tables go on from one to the next.
"""

import random
import sys

import hpack

seed, count = int(sys.argv[1]), int(sys.argv[2])
choice = random.Random(seed)
LETTERS = "".join(chr(c) for c in range(0x21, 0x7F)) + "%%%%////"


def text(most):
    return "".join(choice.choice(LETTERS) for _ in range(choice.randrange(most)))


for _ in range(count):
    before, after = hpack.Encoder(), hpack.Encoder()
    for _ in range(choice.randrange(1, 5)):
        authority = choice.choice(["localhost", text(60), "%2Frun%2Fxtlckpt%2Fcontrol.sock", "/run/xtlckpt/control.sock"])
        mended = authority.replace("%", "-").replace("/", ".")
        rest = [(choice.choice([":path", "te", "user-agent", "x-" + text(9).lower()]), text(200)) for _ in range(choice.randrange(6))]
        at = choice.randrange(len(rest) + 1)
        huffman = choice.random() < 0.7
        blocks = []
        for encoder, value in ((before, authority), (after, mended)):
            if _ == 2:
                encoder.header_table_size = 1024
            blocks.append(encoder.encode(rest[:at] + [(":authority", value)] + rest[at:], huffman=huffman).hex())
        print(*blocks)

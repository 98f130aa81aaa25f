#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write scikit-learn's handwritten digits as a small binary file for mlp_digits.

usage: export_digits.py FILE

Format, little-endian:
  offset size    meaning
  0      8       magic "DIGITS01"
  8      4       n: number of images (1797)
  12     4       pixels per image (64: 8 x 8, row by row)
  16     n * 64  brightness of each pixel, 0 to 16, one byte each
  ...    n       the digit that each image shows, 0 to 9, one byte each
"""
import struct
import sys


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        print("export_digits: needs scikit-learn (Debian: python3-sklearn)", file=sys.stderr)
        return 1
    digits = load_digits()
    images = digits.data.astype("uint8")
    labels = digits.target.astype("uint8")
    with open(sys.argv[1], "wb") as file:
        file.write(b"DIGITS01" + struct.pack("<II", *images.shape))
        file.write(images.tobytes())
        file.write(labels.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())

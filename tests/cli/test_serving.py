import cv2
import numpy as np

from metabonk.cli.serving import qr_code

ADDRESS = "http://192.168.1.5:5173/?token=s3cret-s3cret-s3cret-s3cret-s3cret-s3cret"
HALVES = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
"""Brightness of the upper and the lower half of a character on a dark terminal."""


def test_a_camera_reads_the_address_from_the_terminal():
    code = qr_code(ADDRESS)
    assert set(code) <= {*HALVES, "\n"}, "nothing but blocks, as terminals show them"
    rows = [
        [HALVES[character][half] for character in line]
        for line in code.splitlines()
        for half in (0, 1)
    ]
    picture = np.kron(np.array(rows, np.uint8), np.ones((8, 8), np.uint8))
    text, _, _ = cv2.QRCodeDetector().detectAndDecode(picture)
    assert text == ADDRESS

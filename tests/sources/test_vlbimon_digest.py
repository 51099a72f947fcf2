# SPDX-License-Identifier: MIT
"""Digest authentication, against the examples of RFC 7616 and RFC 2617."""

from __future__ import annotations

import re
import time

import pytest

from tessmon.sources.vlbimon_digest import Digest, challenges

NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def rfc7616(algorithm: str, **more: str) -> str:
    """A challenge of section 3.9.1."""
    given = {
        "realm": "http-auth@example.org",
        "qop": "auth, auth-int",
        "nonce": NONCE,
        "opaque": OPAQUE,
        **more,
    }
    quoted = ", ".join(f'{name}="{value}"' for name, value in given.items())
    return f"Digest {quoted}, algorithm={algorithm}"


def mufasa() -> Digest:
    return Digest("Mufasa", "Circle of Life", lambda: CNONCE)


def response(header: str) -> str:
    return re.findall(r'\bresponse="(\w+)"', header)[0]


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616_come_out(algorithm: str, expected: str) -> None:
    digest = mufasa()
    assert digest.take([rfc7616(algorithm)])
    answer = digest.answer("GET", "/dir/index.html")
    assert response(answer) == expected
    assert answer.startswith('Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html"')
    for part in (
        f"algorithm={algorithm}",
        "nc=00000001",
        f'cnonce="{CNONCE}"',
        "qop=auth",
        f'opaque="{OPAQUE}"',
    ):
        assert f", {part}" in answer


def test_the_example_of_rfc_2617_comes_out() -> None:
    digest = Digest("Mufasa", "Circle Of Life", lambda: "0a4f113b")
    assert digest.take(
        [
            'Digest realm="testrealm@host.com", qop="auth,auth-int", '
            'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        ]
    )
    assert response(digest.answer("GET", "/dir/index.html")) == "6629fae49393a05397450978507c4ef1"


def test_a_server_without_qop_gets_the_old_form() -> None:
    digest = Digest("Mufasa", "CircleOfLife")
    assert digest.take(
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc"']
    )
    answer = digest.answer("GET", "/dir/index.html")
    assert response(answer) == "1949323746fe6a43ef61f9606e7febea"  # Source: RFC 2069 with its erratum 749
    assert "cnonce" not in answer
    assert "nc=" not in answer


def test_the_better_algorithm_is_taken_wherever_it_stands() -> None:
    both = [rfc7616("MD5"), rfc7616("SHA-256")]
    joined = [f'Basic realm="simple", {both[0]}, {both[1]}']
    for headers in (both, both[::-1], joined):
        digest = mufasa()
        assert digest.take(headers)
        assert "algorithm=SHA-256" in digest.answer("GET", "/")


def test_each_answer_to_a_nonce_has_its_number() -> None:
    digest = mufasa()
    digest.take([rfc7616("MD5")])
    counts = [re.findall(r"nc=(\w+)", digest.answer("GET", "/"))[0] for _ in range(3)]
    assert counts == ["00000001", "00000002", "00000003"]
    assert digest.take([rfc7616("MD5", nonce="other", stale="TRUE")])
    answer = digest.answer("GET", "/")
    assert "nc=00000001" in answer
    assert 'nonce="other"' in answer


def test_a_second_challenge_that_is_not_stale_means_a_wrong_password() -> None:
    digest = mufasa()
    assert not digest.challenged
    assert digest.take([rfc7616("MD5")])
    assert digest.challenged
    assert not digest.take([rfc7616("MD5", nonce="other")])
    assert not digest.take([rfc7616("MD5", nonce="more", stale="false")])


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Basic realm=x"],
        ["Digest"],
        ['Digest realm="x"'],
        ['Digest nonce="x"'],
        [rfc7616("SHA-512-256")],
        [rfc7616("MD5-sess")],
        [rfc7616("MD5", qop="auth-int")],
        ["\0\xff=,,,", '"""'],
    ],
)
def test_what_can_not_be_answered_is_not(headers: list[str]) -> None:
    digest = mufasa()
    assert not digest.take(headers)
    assert not digest.challenged


def test_a_name_may_be_asked_for_hashed() -> None:
    """Section 3.4.4: H(username ":" realm)."""
    digest = mufasa()
    digest.take([rfc7616("SHA-256", userhash="true")])
    answer = digest.answer("GET", "/")
    assert "Mufasa" not in answer
    assert "userhash=true" in answer


def test_quotes_and_other_scripts_in_names_survive() -> None:
    digest = Digest('J\\ä"s', "ﺏ", lambda: "c")
    assert digest.take(['Digest realm="a \\"b\\" c", nonce="n", qop=auth'])
    answer = digest.answer("GET", "/")
    assert 'username="J\\\\ä\\"s"' in answer
    assert 'realm="a \\"b\\" c"' in answer
    assert next(iter(challenges(answer)))["username"] == 'J\\ä"s'


@pytest.mark.parametrize(
    "text", ["Digest " + "a=b," * 100_000, 'Digest a="' + "\\" * 500_000, "," * 1_000_000, " " * 1_000_000]
)
def test_a_hostile_header_takes_no_time(text: str) -> None:
    began_s = time.thread_time()
    list(challenges(text))
    assert time.thread_time() - began_s < 0.05

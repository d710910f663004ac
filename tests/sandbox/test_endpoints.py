"""How the hosts that a task may reach are written, and under which addresses it finds them."""

from __future__ import annotations

import socket

import pytest

from sandbox import Spec
from sandbox.endpoint import Endpoint, parse, parse_all
from sandbox.network import listeners


def test_one_name_has_one_address_and_a_granted_localhost_no_other():
    endpoints = parse_all(("localhost:80", "localhost:81", "[::1]:80"))

    assert listeners.hosts_file(endpoints) == "127.64.0.1 localhost\n"
    assert listeners.hosts_file(()) == "127.0.0.1 localhost\n::1 localhost\n"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("smtp.example.com:587", Endpoint("smtp.example.com", 587)),
        ("SMTP.Example.com:1", Endpoint("smtp.example.com", 1)),
        ("bücher.example:443", Endpoint("xn--bcher-kva.example", 443)),
        ("my_db:65535", Endpoint("my_db", 65535)),
        ("10.0.0.5:5432", Endpoint("10.0.0.5", 5432, socket.AF_INET)),
        ("[2001:DB8:0::5]:443", Endpoint("2001:db8::5", 443, socket.AF_INET6)),
    ],
)
def test_an_endpoint_is_read_and_written_back(text, endpoint):
    assert parse(text) == endpoint
    assert parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("*.example.com:443", "wildcard"),
        ("*:443", "wildcard"),
        ("https://example.com:443", 'without "https://"'),
        ("https://example.com", 'without "https://"'),
        ("user@example.com:443", 'without "https://"'),
        ("example.com", "the port is a number and cannot be left out"),
        ("example.com:", "the port is a number"),
        ("example.com:https", "the port is a number"),
        ("example.com:0", "a port from 1 to 65535"),
        ("example.com:65536", "a port from 1 to 65535"),
        ("example.com:٣", "the port is a number"),
        (":443", "a host is letters"),
        ("2001:db8::5:443", "goes in brackets"),
        ("[2001:db8::5]", "the port is a number"),
        ("[fe80::1%eth0]:80", "no zone"),
        ("[fe80::1]:80", "link-local"),
        ("[ff02::1]:80", "TCP can connect to"),
        ("[::]:80", "TCP can connect to"),
        ("[::ffff:10.0.0.5]:80", "write it as IPv4"),
        ("[10.0.0.5]:80", "IPv6 address in its brackets"),
        ("0.0.0.0:80", "TCP can connect to"),
        ("224.0.0.1:80", "TCP can connect to"),
        ("255.255.255.255:80", "TCP can connect to"),
        ("127.1:80", "a whole address"),
        ("2130706433:80", "a whole address"),
        ("0x7f000001:80", "a whole address"),
        ("1.2.3.4.5:80", "a whole address"),
        ("example.com.:80", "a host is letters"),
        ("exa mple.com:80", "a host is letters"),
        ("a\n127.0.0.1 b:80", "a host is letters"),
        ("-a.example:80", "a host is letters"),
        ("a" * 64 + ".example:80", "a host is letters"),
        ("ü" * 100 + ":80", "DNS can name"),
        ("\ud800:80", "DNS can name"),
        (443, "must be text"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_a_list_names_the_place_of_what_is_wrong():
    with pytest.raises(ValueError, match=r"network\[1\] must be .*: got 'b'"):
        Spec(entry="a:b", network=("a:1", "b"))
    with pytest.raises(ValueError, match=r"network\[2\] stands there twice: a:1"):
        Spec(entry="a:b", network=("a:1", "b:1", "A:1"))
    with pytest.raises(ValueError, match="network may name at most 32 hosts and ports: got 33"):
        Spec(entry="a:b", network=tuple(f"a:{port}" for port in range(1, 34)))
    spec = Spec(entry="a:b", network=("a:1", "b:1"))
    assert Spec.from_document(spec.to_document()) == spec

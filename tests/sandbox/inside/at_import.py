"""Attacks while it is imported: each expression in the environment's `ATTACKS`."""

import json
import os

import attacks

ANSWERS = [attacks.answer(expression) for expression in json.loads(os.environ["ATTACKS"])]


def tell(channel):
    channel.send({"answers": ANSWERS})

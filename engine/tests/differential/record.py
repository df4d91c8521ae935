#!/usr/bin/env python3
"""Records what the installed jq answers: every program on every input, as JSON lines.

  python3 -m venv /tmp/jq && /tmp/jq/bin/pip install jq==1.13.0     # its jq version is not stated
  /tmp/jq/bin/python engine/tests/differential/record.py > engine/tests/differential/answers.jsonl

A line is {"p": program, "i": input as text, "o": outputs as texts} or, with "e", the error after those outputs.
"""
import json
import os
import sys

import jq

HERE = os.path.dirname(os.path.abspath(__file__))


def lines(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file if line.strip() and not line.startswith("# ")]


def answer(program, text):
    outputs = []
    try:
        # The program's outputs are turned into text by jq itself, so that numbers are printed as jq prints them.
        for output in jq.compile(f"({program}) | tojson").input_text(text):
            outputs.append(output)
            if len(outputs) == 100:
                break
    except ValueError as error:
        return outputs, str(error)
    return outputs, None


def main():
    for program in lines("programs.txt"):
        for text in lines("inputs.txt"):
            outputs, error = answer(program, text)
            line = {"p": program, "i": text, "o": outputs}
            if error is not None:
                line["e"] = error
            sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")


main()

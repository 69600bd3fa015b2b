"""The context for a question, as a prompt for any language model: python examples/context.py FOLDER QUESTION

Prints the prompt; send it where you like. Each source has a number, so that an answer can name it.
"""

import sys

import femtosearch as fs
from femtosearch.read import read

PROMPT = """Answer the question from these sources alone, and name their numbers. Say so if they do not say.

{sources}

Question: {question}
"""


def passages(index: fs.Index, question: str, characters: int) -> list[str]:
    """The best passages that fit into so many characters, each with its number and its document's id."""
    sources: list[str] = []
    for hit in index.search(question, k=20):
        start, end = hit.passage or (0, len(hit.text))
        source = f"[{len(sources) + 1}] {hit.id}\n{hit.text[start:end].strip()}"
        characters -= len(source)
        if characters < 0:
            break
        sources.append(source)
    return sources


def main(folder: str, question: str) -> None:
    with fs.Index() as index:  # in memory
        index.add(read([folder]))
        sources = passages(index, question, characters=6000)
    print(PROMPT.format(sources="\n\n".join(sources), question=question))


if __name__ == "__main__":
    main(*sys.argv[1:3])

"""`femtosearch completion bash`: a script that completes commands, flags and their values in a shell.

The script contains the whole command line, so that to complete a word starts no Python. A first word that is
no command is a question, which files and the flags of `find` follow.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Sequence

from femtosearch.cli.arguments import parser
from femtosearch.cli.outline import Argument, Command, commands_of

_BASH = """\
# Completion of femtosearch in bash: source <(femtosearch completion bash)
_femtosearch() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words='' values=''
  COMPREPLY=()
  [[ $before != '=' ]] || before=${{COMP_WORDS[COMP_CWORD-2]}}
  [[ $word != '=' ]] || word=''
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{names} --help --version' -- "$word"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{cases}
  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  elif [[ -n $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$word"))
  else
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
  fi
}}
complete -F _femtosearch femtosearch
"""
_ZSH = """\
#compdef femtosearch
# Completion of femtosearch in zsh: femtosearch completion zsh > "${{fpath[1]}}/_femtosearch"
_femtosearch() {{
  local -a commands=(
{names}
  )
  if ((CURRENT == 2)); then
    if [[ $PREFIX == -* ]]; then compadd -- --help --version; else _describe command commands; fi
    return
  fi
  case ${{words[2]}} in
{cases}
  esac
}}
if [[ $funcstack[1] == _femtosearch ]]; then _femtosearch "$@"; else compdef _femtosearch femtosearch; fi
"""
_FISH = """\
# Completion of femtosearch in fish: femtosearch completion fish | source
complete -c femtosearch -n __fish_use_subcommand -l help
complete -c femtosearch -n __fish_use_subcommand -l version
"""
QUESTION = "find"  # the command that runs if the first word is no command


def completion(options: argparse.Namespace) -> None:
    """Print the script for a shell."""
    print(SHELLS[options.shell](list(commands_of(parser()))), end="")


def _bash(commands: Sequence[Command]) -> str:
    cases = "\n".join(_bash_case(command) for command in _ordered(commands))
    return _BASH.format(names=" ".join(command.name for command in commands), cases=cases)


def _bash_case(command: Command) -> str:
    place = command.name if command.actions else "*"  # an action comes first, then files
    valued = [
        f"{'|'.join(argument.flags) or place}) values={_quoted(' '.join(argument.choices))} ;;"
        for argument in sorted(command.arguments, key=lambda argument: not argument.flags)
        if argument.choices or (argument.flags and argument.metavar)
    ]
    words = _quoted(" ".join(flag for argument in command.arguments for flag in argument.flags))
    inner = f"\n      case $before in {' '.join(valued)} esac" if valued else ""
    return f"    {_pattern(command)})\n      words={words}{inner} ;;"


def _ordered(commands: Sequence[Command]) -> Iterable[Command]:
    """The commands; the one that a question stands for comes last."""
    return sorted(commands, key=lambda command: command.name == QUESTION)


def _pattern(command: Command) -> str:
    return "*" if command.name == QUESTION else command.name


def _zsh(commands: Sequence[Command]) -> str:
    names = "\n".join(f"    {_quoted(f'{command.name}:{_plain(command.help)}')}" for command in commands)
    cases = "\n".join(
        f"    {_pattern(command)}) shift words; ((CURRENT--)); _arguments {' '.join(_zsh_lines(command))} ;;"
        for command in _ordered(commands)
    )
    return _ZSH.format(names=names, cases=cases)


def _zsh_lines(command: Command) -> Iterable[str]:
    for argument in command.arguments:
        value = f":{_plain(argument.metavar)}:{_zsh_values(argument)}" if argument.metavar else ""
        for flag in argument.flags:
            yield _quoted(f"{'*' if argument.repeats else ''}{flag}[{_plain(argument.help)}]{value}")
    places = [argument for argument in command.arguments if not argument.flags]
    if places and places[0].choices:
        repeats = "*" if places[0].repeats else ""
        yield _quoted(f"{repeats}:{places[0].metavar.lower()}:({' '.join(places[0].choices)})")
    if command.actions or (places and not places[0].choices):
        yield _quoted("*:file:_files")


def _zsh_values(argument: Argument) -> str:
    return f"({' '.join(argument.choices)})" if argument.choices else "_files"


def _fish(commands: Sequence[Command]) -> str:
    lines = [_FISH.rstrip()]
    for command in commands:
        begin = "complete -c femtosearch -n __fish_use_subcommand -f -a"
        lines.append(f"{begin} {command.name} -d {_quoted(_plain(command.help))}")
        seen = f"complete -c femtosearch -n {_quoted(_fish_condition(command, commands))}"
        lines += [f"{seen} {_fish_argument(argument)}" for argument in command.arguments if _shows(argument)]
    return "\n".join(lines) + "\n"


def _fish_condition(command: Command, commands: Sequence[Command]) -> str:
    """The condition, in fish, under which the arguments of a command are offered."""
    if command.name != QUESTION:
        return f"__fish_seen_subcommand_from {command.name}"
    names = " ".join(named.name for named in commands if named.name != QUESTION)
    return f"not __fish_use_subcommand; and not __fish_seen_subcommand_from {names}"


def _shows(argument: Argument) -> bool:
    """Whether there is more to offer than files, which fish offers by itself."""
    return bool(argument.flags or argument.choices)


def _fish_argument(argument: Argument) -> str:
    words = [f"-{'l' if flag.startswith('--') else 's'} {flag.lstrip('-')}" for flag in argument.flags]
    if argument.flags and argument.metavar:
        words.append("-r")
    if argument.choices:
        words.append(f"-f -a {_quoted(' '.join(argument.choices))}")
    return " ".join([*words, "-d", _quoted(_plain(argument.help))])


def _plain(text: str) -> str:
    """A help text without what shells and their tools read as their own."""
    return re.sub(r"[\[\]:`\"\\$]", "", text.replace("'", "\u2019"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: dict[str, Callable[[Sequence[Command]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}

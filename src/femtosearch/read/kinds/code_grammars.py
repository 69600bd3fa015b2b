"""Which nodes of a tree-sitter grammar are functions, classes and the like, and where their names are.

A table's line says the nodes of one grammar, each as `type:name`. `parent/type` are the nodes below a parent
only. The name is a field of the node, or, after a dot, the first child of that type; a bar separates what is
tried in turn; without any the words before the first bracket are the name. `+field` is a child that the node
must have, `left=right` a node that counts where its right side is a function or a class.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from femtosearch.frozen import frozen

DEEPEST = 20  # levels; what is deeper is no heading
MOST_DEFINITIONS = 20_000  # of one file

_C = (
    "function_definition:declarator struct_specifier:name+body union_specifier:name+body "
    "enum_specifier:name+body type_definition:declarator=type preproc_function_def:name"
)
_JAVASCRIPT = (
    "function_declaration:name generator_function_declaration:name class_declaration:name "
    "method_definition:name variable_declarator:name=value assignment_expression:left=right pair:key=value"
)
_TYPESCRIPT = (
    f"{_JAVASCRIPT} public_field_definition:name=value abstract_class_declaration:name "
    "function_signature:name interface_declaration:name enum_declaration:name type_alias_declaration:name "
    "internal_module:name module:name"
)
_TABLES = {
    "bash": "function_definition:name",
    "c": _C,
    "clojure": "list_lit:def",
    "cpp": f"{_C} class_specifier:name+body namespace_definition:name concept_definition:name",
    "csharp": "namespace_declaration:name file_scoped_namespace_declaration:name class_declaration:name "
    "record_declaration:name interface_declaration:name struct_declaration:name enum_declaration:name "
    "delegate_declaration:name method_declaration:name constructor_declaration:name destructor_declaration: "
    "property_declaration:name+accessors operator_declaration: local_function_statement:name",
    "dart": "class_definition:name mixin_declaration:.identifier extension_declaration:name "
    "enum_declaration:name function_signature:name getter_signature:name setter_signature:name "
    "constructor_signature:name factory_constructor_signature: constant_constructor_signature: "
    "operator_signature:",
    "elixir": "call:def",
    "erlang": "function_clause:name record_decl:name",
    "fortran": "module:.module_statement submodule:.submodule_statement program:.program_statement "
    "subroutine:.subroutine_statement function:.function_statement "
    "derived_type_definition:.derived_type_statement",
    "go": "type_spec:name type_alias:name method_declaration:name function_declaration:name",
    "haskell": "data_type:name newtype:name type_synomym:name class:name instance:patterns|name "
    "declarations/signature:name declarations/function:name declarations/bind:name "
    "class_declarations/signature:name instance_declarations/function:name instance_declarations/bind:name",
    "java": "class_declaration:name interface_declaration:name enum_declaration:name record_declaration:name "
    "annotation_type_declaration:name method_declaration:name constructor_declaration:name "
    "compact_constructor_declaration:name",
    "javascript": f"{_JAVASCRIPT} field_definition:property=value",
    "julia": "module_definition:name struct_definition:.type_head abstract_definition:.type_head "
    "function_definition:.signature macro_definition:.signature assignment:.call_expression",
    "kotlin": "class_declaration:.type_identifier object_declaration:.type_identifier companion_object: "
    "function_declaration:.simple_identifier secondary_constructor: type_alias:.type_identifier",
    "lua": "function_declaration:name assignment_statement:.variable_list=.expression_list",
    "objc": f"{_C} class_interface:.identifier class_implementation:.identifier "
    "protocol_declaration:.identifier method_definition:.identifier "
    "class_interface/method_declaration:.identifier",
    "ocaml": "module_definition:.module_binding module_type_definition:.module_type_name "
    "class_definition:.class_binding method_definition:name|.method_name "
    "compilation_unit/value_definition:.let_binding structure/value_definition:.let_binding",
    "perl": "package_statement:name subroutine_declaration_statement:name method_declaration_statement:name",
    "php": "namespace_definition:name class_declaration:name interface_declaration:name "
    "trait_declaration:name enum_declaration:name method_declaration:name function_definition:name",
    "powershell": "function_statement:.function_name class_statement:.simple_name "
    "enum_statement:.simple_name class_method_definition:.simple_name",
    "python": "function_definition:name class_definition:name",
    "r": "binary_operator:lhs=rhs",
    "ruby": "module:name class:name singleton_class: method:name singleton_method:name",
    "rust": "mod_item:name+body struct_item:name enum_item:name union_item:name trait_item:name "
    "impl_item:type function_item:name function_signature_item:name type_item:name macro_definition:name",
    "scala": "object_definition:name class_definition:name trait_definition:name enum_definition:name "
    "function_definition:name function_declaration:name given_definition:name extension_definition: "
    "type_definition:name",
    "sql": "create_table:.object_reference create_view:.object_reference create_function:.object_reference "
    "create_materialized_view:.object_reference create_index:column create_trigger:.object_reference "
    "create_type:.object_reference",
    "swift": "class_declaration:name protocol_declaration:name function_declaration:name "
    "protocol_function_declaration:name init_declaration: deinit_declaration: subscript_declaration:",
    "tsx": _TYPESCRIPT,
    "typescript": _TYPESCRIPT,
    "zig": "FnProto:function VarDecl:variable_type_function=.ErrorUnionExpr TestDecl:.STRINGLITERALSINGLE",
}
# By extension, where the language's name is not the grammar's.
_GRAMMARS = {
    "c++": "cpp", "c#": "csharp", "shell": "bash", "objective-c": "objc", "visual basic": "", "css": "",
    "toml": "", "yaml": "",
}  # fmt: skip
FLAT = frozenset({"package_statement", "namespace_definition", "file_scoped_namespace_declaration"})
_CPP = re.compile(r"^[ \t]*(?:class|namespace|template|using|public:|private:)", re.MULTILINE)
_OBJC = re.compile(r"^[ \t]*(?:@(?:interface|implementation|protocol|import|class)|#)", re.MULTILINE)


@frozen
class Definition:
    """A type of nodes that are definitions.

    kind:    the type of the node.
    parent:  the type that its parent must have, or "".
    names:   where its name is, in the order that they are tried.
    needs:   the field that it must have, or "".
    value:   where its right side is, which must be a function or class; "" where it has none.
    """

    kind: str
    parent: str
    names: tuple[str, ...]
    needs: str
    value: str


def grammar_of(language: str, extension: str, text: str) -> str | None:
    """The grammar of a language's file; None where there is none."""
    if extension == ".tsx":
        return "tsx"
    if extension == ".h" and _OBJC.search(text) and "@interface" in text:
        return "objc"
    if extension == ".h" and _CPP.search(text):
        return "cpp"
    if extension == ".m" and not _OBJC.search(text):
        return None  # MATLAB
    name = _GRAMMARS.get(language, language)
    return name if name in _TABLES else None


def definitions_of(grammar: str) -> Iterator[Definition]:
    """The types of nodes of a grammar that are definitions."""
    for word in _TABLES[grammar].split():
        path, _, rule = word.partition(":")
        parent, _, kind = path.rpartition("/")
        rule, _, needs = rule.partition("+")
        names, _, value = rule.partition("=")
        yield Definition(kind, parent, tuple(filter(None, names.split("|"))), needs, value)


def grammars() -> list[str]:
    """All grammars that definitions are known of."""
    return sorted(_TABLES)


@cache
def has_grammars() -> bool:
    """Whether the pack of grammars is there with the grammars in it; later ones fetch them from elsewhere."""
    pack = find_spec("tree_sitter_language_pack")
    if pack is None or pack.origin is None or find_spec("tree_sitter") is None:
        return False
    return Path(pack.origin).with_name("bindings").is_dir()

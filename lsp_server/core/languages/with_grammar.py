"""The languages that fimble knows by their grammar, one data entry for each.

To add a language, add an entry here and the wheel of its grammar to `pyproject.toml`; no code changes. The node types
are those of the grammar's `node-types.json`; `tests/core/test_languages.py` checks that the grammar has each of them,
and requires a code sample. `embedded` lists the languages that may be inside a file, in the entry of the outer one.
"""

from __future__ import annotations

from lsp_server.core.languages.entry import AROUND_PHP, BRACES, IN_PAGES, Language, language

_SLASHES = ("//", "")
_TAGS = ("<!--", "-->")

_JAVASCRIPT_STATEMENTS = (
    "import_statement export_statement expression_statement lexical_declaration variable_declaration "
    "function_declaration generator_function_declaration class_declaration method_definition return_statement "
    "if_statement for_statement for_in_statement while_statement do_statement switch_statement try_statement "
    "throw_statement break_statement continue_statement labeled_statement"
)
_TYPESCRIPT_STATEMENTS = (
    f"{_JAVASCRIPT_STATEMENTS} interface_declaration type_alias_declaration enum_declaration public_field_definition "
    "abstract_class_declaration method_signature property_signature"
)
_TYPESCRIPT_BLOCKS = "statement_block class_body switch_body interface_body enum_body object_type"
_C_STATEMENTS = (
    "preproc_include expression_statement declaration function_definition return_statement if_statement "
    "for_statement while_statement do_statement switch_statement case_statement break_statement continue_statement "
    "goto_statement labeled_statement field_declaration type_definition"
)

LANGUAGES: tuple[Language, ...] = (
    language(
        "Python",
        "python",
        "*.py *.pyi *.pyw",
        wheel="tree_sitter_python",
        imports="import_statement import_from_statement future_import_statement",
        statements="import_statement import_from_statement future_import_statement expression_statement "
        "return_statement assert_statement raise_statement delete_statement pass_statement break_statement "
        "continue_statement global_statement nonlocal_statement if_statement for_statement while_statement "
        "try_statement with_statement match_statement function_definition class_definition decorated_definition",
        blocks="block",
        strings="string",
        code_in_strings="interpolation",
        openers=r"[{(\[]|^\s*(?:(?:async\s+)?(?:if|elif|else|for|while|try|except|finally|with|def|class|match|case)\b"
        r"|[)\]}]).*:",
        long_quotes="\"\"\" '''",
        headers="if elif else for while with try except finally def class async match case",
        docstrings="expression_statement",
    ),
    language(
        "JavaScript",
        "javascript javascriptreact",
        "*.js *.jsx *.mjs *.cjs",
        _SLASHES,
        "tree_sitter_javascript",
        imports="import_statement",
        statements=f"{_JAVASCRIPT_STATEMENTS} field_definition",
        blocks="statement_block class_body switch_body",
        strings="string template_string regex",
        code_in_strings="template_substitution",
        quotes="\"'`",
        long_quotes="`",
    ),
    language(
        "TypeScript",
        "typescript",
        "*.ts *.mts *.cts",
        _SLASHES,
        "tree_sitter_typescript:language_typescript",
        imports="import_statement",
        statements=_TYPESCRIPT_STATEMENTS,
        blocks=_TYPESCRIPT_BLOCKS,
        strings="string template_string regex",
        code_in_strings="template_substitution",
        quotes="\"'`",
        long_quotes="`",
    ),
    language(
        "TSX",
        "typescriptreact",
        "*.tsx",
        _SLASHES,
        "tree_sitter_typescript:language_tsx",
        imports="import_statement",
        statements=_TYPESCRIPT_STATEMENTS,
        blocks=_TYPESCRIPT_BLOCKS,
        strings="string template_string regex",
        code_in_strings="template_substitution",
        quotes="\"'`",
        long_quotes="`",
    ),
    language(
        "Java",
        "java",
        "*.java",
        _SLASHES,
        "tree_sitter_java",
        imports="package_declaration import_declaration",
        statements="package_declaration import_declaration class_declaration interface_declaration enum_declaration "
        "record_declaration method_declaration constructor_declaration field_declaration local_variable_declaration "
        "expression_statement return_statement if_statement for_statement enhanced_for_statement while_statement "
        "do_statement try_statement throw_statement break_statement continue_statement",
        blocks="block class_body interface_body enum_body constructor_body switch_block",
        strings="string_literal character_literal",
        comments="line_comment block_comment",
        code_in_strings="string_interpolation",
        openers=BRACES + "|->",
        quotes='"',
        long_quotes='"""',
    ),
    language(
        "C",
        "c",
        "*.c *.h",
        _SLASHES,
        "tree_sitter_c",
        imports="preproc_include",
        statements=_C_STATEMENTS,
        blocks="compound_statement field_declaration_list enumerator_list",
        strings="string_literal system_lib_string char_literal",
        quotes='"',
        preprocessed=True,
    ),
    language(
        "C++",
        "cpp cuda-cpp",
        "*.cc *.cpp *.cxx *.hh *.hpp *.hxx *.cu *.cuh",
        _SLASHES,
        "tree_sitter_cpp",
        imports="preproc_include using_declaration",
        statements=f"{_C_STATEMENTS} using_declaration namespace_definition template_declaration for_range_loop "
        "try_statement throw_statement",
        blocks="compound_statement field_declaration_list enumerator_list declaration_list",
        strings="string_literal raw_string_literal system_lib_string char_literal",
        openers=BRACES + r"|\b(?:public|private|protected):",
        quotes='"',
        preprocessed=True,
    ),
    language(
        "Go",
        "go",
        "*.go",
        _SLASHES,
        "tree_sitter_go",
        imports="package_clause import_declaration",
        statements="package_clause import_declaration const_declaration var_declaration type_declaration "
        "function_declaration method_declaration short_var_declaration assignment_statement expression_statement "
        "return_statement if_statement for_statement expression_switch_statement go_statement defer_statement "
        "inc_statement dec_statement break_statement continue_statement",
        blocks="block field_declaration_list",
        strings="interpreted_string_literal raw_string_literal rune_literal",
        quotes='"`',
        long_quotes="`",
        tabs=True,
    ),
    language(
        "Rust",
        "rust",
        "*.rs",
        _SLASHES,
        "tree_sitter_rust",
        imports="use_declaration extern_crate_declaration",
        statements="use_declaration extern_crate_declaration let_declaration expression_statement function_item "
        "struct_item enum_item impl_item trait_item mod_item const_item static_item type_item macro_definition",
        blocks="block declaration_list match_block field_declaration_list enum_variant_list",
        strings="string_literal raw_string_literal char_literal",
        comments="line_comment block_comment",
        openers=BRACES + "|->",
        quotes='"',
    ),
    language(
        "Kotlin",
        "kotlin",
        "*.kt *.kts",
        _SLASHES,
        "tree_sitter_kotlin",
        imports="package_header import",
        statements="package_header import class_declaration object_declaration function_declaration "
        "property_declaration assignment for_statement while_statement do_while_statement",
        blocks="block class_body enum_class_body",
        strings="string_literal multiline_string_literal character_literal",
        comments="line_comment block_comment",
        code_in_strings="interpolation",
        openers=BRACES + "|->",
        quotes='"',
        long_quotes='"""',
    ),
    language(
        "Scala",
        "scala",
        "*.scala *.sc",
        _SLASHES,
        "tree_sitter_scala",
        imports="package_clause import_declaration",
        statements="package_clause import_declaration class_definition object_definition trait_definition "
        "function_definition val_definition var_definition type_definition",
        blocks="block indented_block template_body case_block",
        strings="string interpolated_string character_literal",
        comments="comment block_comment",
        code_in_strings="interpolation",
        openers=r"[{(\[=:]|=>|\b(?:then|do|else|yield)",
        quotes='"',
        long_quotes='"""',
    ),
    language(
        "C#",
        "csharp",
        "*.cs",
        _SLASHES,
        "tree_sitter_c_sharp",
        imports="using_directive",
        statements="using_directive namespace_declaration file_scoped_namespace_declaration class_declaration "
        "interface_declaration struct_declaration record_declaration enum_declaration method_declaration "
        "constructor_declaration property_declaration field_declaration local_declaration_statement "
        "expression_statement return_statement if_statement for_statement foreach_statement while_statement "
        "do_statement switch_statement try_statement throw_statement break_statement continue_statement",
        blocks="block declaration_list accessor_list switch_body enum_member_declaration_list",
        strings="string_literal verbatim_string_literal raw_string_literal interpolated_string_expression "
        "character_literal",
        code_in_strings="interpolation",
        quotes='"',
        long_quotes='"""',
        preprocessed=True,
    ),
    language(
        "Swift",
        "swift",
        "*.swift",
        _SLASHES,
        "tree_sitter_swift",
        imports="import_declaration",
        statements="import_declaration class_declaration protocol_declaration function_declaration init_declaration "
        "property_declaration assignment if_statement guard_statement for_statement while_statement "
        "repeat_while_statement switch_statement do_statement control_transfer_statement",
        blocks="statements class_body protocol_body enum_class_body",
        strings="line_string_literal multi_line_string_literal raw_string_literal",
        comments="comment multiline_comment",
        code_in_strings="interpolated_expression raw_str_interpolation",
        openers=BRACES + r"|\{.*\bin",
        quotes='"',
        long_quotes='"""',
        preprocessed=True,
    ),
    language(
        "Ruby",
        "ruby",
        "*.rb Gemfile Rakefile",
        wheel="tree_sitter_ruby",
        statements="class module method singleton_method assignment operator_assignment if unless while until for "
        "case begin return if_modifier unless_modifier",
        blocks="body_statement block_body do_block then do else ensure",
        strings="string heredoc_body string_array symbol_array regex subshell",
        code_in_strings="interpolation",
        openers=r"[{(\[]|[{]\s*\|[^|]*\||\b(?:do|then|else|begin|ensure)(?:\s*\|[^|]*\|)?|"
        r"^\s*(?:def|class|module|if|unless|while|until|for|case|when|elsif|rescue)\b.*",
        closers="end else elsif when rescue ensure",
    ),
    language(
        "PHP",
        "php",
        "*.php",
        _SLASHES,
        "tree_sitter_php:language_php",
        imports="namespace_definition namespace_use_declaration",
        statements="namespace_definition namespace_use_declaration class_declaration interface_declaration "
        "trait_declaration enum_declaration function_definition method_declaration property_declaration "
        "const_declaration expression_statement echo_statement return_statement if_statement for_statement "
        "foreach_statement while_statement do_statement switch_statement try_statement break_statement "
        "continue_statement",
        blocks="compound_statement declaration_list enum_declaration_list switch_block match_block",
        strings="string encapsed_string heredoc nowdoc",
        prologue=b"<?php\n",
        line_marks="// #",
        embedded=AROUND_PHP,
    ),
    language(
        "Lua",
        "lua",
        "*.lua",
        ("--", ""),
        "tree_sitter_lua",
        statements="variable_declaration assignment_statement function_declaration function_call if_statement "
        "for_statement while_statement repeat_statement do_statement return_statement break_statement goto_statement",
        blocks="block",
        strings="string",
        openers=r"[{(]|\b(?:then|do|else|repeat)|\bfunction\b[^()]*\([^()]*\)",
        closers="end else elseif until",
        block_marks="--[[ ]]",
        docs="---",
    ),
    language(
        "Bash",
        "shellscript bash sh",
        "*.sh *.bash",
        wheel="tree_sitter_bash",
        statements="command variable_assignment declaration_command if_statement for_statement while_statement "
        "case_statement function_definition redirected_statement pipeline list",
        blocks="compound_statement do_group else_clause elif_clause",
        strings="string raw_string ansi_c_string heredoc_body",
        code_in_strings="command_substitution expansion simple_expansion",
        openers=r"[{(]|\b(?:then|do|else|in)|;\s*(?:then|do)",
        closers="fi done esac else elif",
    ),
    language(
        "SQL",
        "sql",
        "*.sql",
        ("--", ""),
        "tree_sitter_sql",
        statements="statement",
        blocks="block",
        comments="comment marginalia",
        block_marks="/* */",
        openers=r"\(|(?i:\b(?:as|begin|then|else|select|from|where|set|values))",
    ),
    language(
        "HTML",
        "html",
        "*.html *.htm",
        _TAGS,
        "tree_sitter_html",
        statements="element script_element style_element doctype",
        blocks="element",
        openers=r"<[A-Za-z][^<>]*(?<!/)>",
        prose=True,
        embedded=IN_PAGES,
    ),
    language(
        "CSS",
        "css scss less",
        "*.css *.scss *.less",
        ("/*", "*/"),
        "tree_sitter_css",
        imports="import_statement",
        statements="import_statement rule_set declaration media_statement at_rule keyframes_statement "
        "supports_statement charset_statement namespace_statement",
        blocks="block keyframe_block_list",
        strings="string_value",
        openers=r"[{(]",
        terminators=";{},/",
    ),
    language(
        "JSON",
        "json jsonc",
        "*.json *.jsonc",
        _SLASHES,
        "tree_sitter_json",
        statements="pair",
        blocks="object array",
        openers=r"[{\[]",
        quotes='"',
    ),
    language(
        "YAML",
        "yaml",
        "*.yaml *.yml",
        wheel="tree_sitter_yaml",
        statements="block_mapping_pair block_sequence_item",
        blocks="block_mapping block_sequence flow_mapping flow_sequence",
        openers=r":|[{\[]|:\s*[|>][+-]?",
        prose=True,
    ),
    language(
        "TOML",
        "toml",
        "*.toml",
        wheel="tree_sitter_toml",
        statements="pair",
        blocks="table table_array_element array inline_table",
        openers=r"[{\[]|^\s*\[.*\]",
        long_quotes="\"\"\" '''",
    ),
    language(
        "Markdown",
        "markdown",
        "*.md *.markdown",
        _TAGS,
        "tree_sitter_markdown",
        statements="paragraph fenced_code_block list atx_heading setext_heading block_quote html_block",
        blocks="section list_item",
        comments="",
        openers=r"^\s*(?:```|~~~).*",
        fenced=True,
        prose=True,
    ),
)

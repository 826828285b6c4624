//! The table for bash: a function that sets, for a command, its `options` and `arguments`.

use clap::Arg;

use super::super::arguments::{is_value_optional, spellings, takes_value};
use super::{Row, kind, lines, names, programs};

pub(super) fn script(rows: &[Row]) -> String {
    let of_all = options(&rows[0], &rows[0].options_of_all());
    let mut table = vec![
        "# The options that all commands have, and those of each with its arguments.".to_owned(),
        "_runup_table() {".to_owned(),
        format!("    options='{of_all} -h --help -V --version'"),
        "    case $1 in".to_owned(),
        format!("    '' | help) arguments='words:{}' ;;", names(rows)),
    ];
    for row in rows {
        table.push(format!("    {})", row.name));
        table.push(format!("        options+=' {}'", options(row, &row.options())));
        table.push(format!("        arguments='{}'", row.kinds()));
        table.push("        ;;".to_owned());
    }
    table.push("    *) arguments='' ;;\n    esac\n}\n".to_owned());
    table.push(format!("complete -F _runup {}", programs(rows).join(" \\\n    ")));
    include_str!("head.bash").to_owned() + &lines(&table)
}

/// Options as `-r`, or with the kind of their value as `--to=directory`.
fn options(row: &Row, options: &[&Arg]) -> String {
    let words = options.iter().flat_map(|arg| {
        let kind = match takes_value(arg) && !is_value_optional(arg) {
            true => format!("={}", kind(&row.value(arg))),
            false => String::new(),
        };
        spellings(arg).into_iter().map(move |spelling| spelling + &kind)
    });
    words.collect::<Vec<_>>().join(" ")
}

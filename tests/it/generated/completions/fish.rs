//! The table for fish: a line for each command and each option.

use clap::Arg;

use super::super::arguments::{is_value_optional, spellings, takes_value};
use super::{Row, first_sentence, kind, lines, names};

pub(super) fn script(rows: &[Row]) -> String {
    let mut table = vec![
        "# The commands: name, layer, about, kinds of arguments, options with a value.".to_owned(),
    ];
    for row in rows {
        let valued =
            row.options().into_iter().filter(|arg| takes_value(arg) && !is_value_optional(arg));
        let valued: Vec<_> = valued.flat_map(spellings).collect();
        let layer = if row.program.is_some() { "plumbing" } else { "porcelain" };
        table.push(format!(
            "\n__runup_command {} {layer} {} '{}' '{}'",
            row.name,
            quoted(&row.about),
            row.kinds(),
            valued.join(" ")
        ));
        for arg in row.options() {
            table.push(format!("__runup_option {} {}", row.name, option(row, arg)));
        }
    }
    let help = format!("'Print help of a command' 'words:{}' ''", names(rows));
    table.push(format!("\n__runup_command help porcelain {help}\n"));
    table.push("# The options that all commands have.".to_owned());
    for arg in rows[0].options_of_all() {
        table.push(format!("__runup_option '' {}", option(&rows[0], arg)));
    }
    table.push("__runup_option '' -s h -l help -d 'Print help'".to_owned());
    table.push("__runup_option '' -s V -l version -d 'Print version'".to_owned());
    include_str!("head.fish").to_owned() + &lines(&table)
}

/// An option as arguments of `complete`.
fn option(row: &Row, arg: &Arg) -> String {
    let mut words = Vec::new();
    words.extend(arg.get_short().map(|short| format!("-s {short}")));
    words.extend(arg.get_long().map(|long| format!("-l {long}")));
    if takes_value(arg) && !is_value_optional(arg) {
        words.push(format!("-x -a '(__runup_value {})'", kind(&row.value(arg))));
    }
    words.push(format!("-d {}", quoted(&first_sentence(arg))));
    words.join(" ")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

//! The table for zsh: the specifications of each command for `_arguments`.

use clap::Arg;

use super::super::arguments::{
    Value, is_value_optional, repeats, spellings, takes_value, value_name,
};
use super::{Row, first_sentence, lines, programs};

pub(super) fn script(rows: &[Row]) -> String {
    let mut table = vec!["_runup_commands() {\n    local -a commands=(".to_owned()];
    for row in rows {
        table.push(format!("        {}", quoted(&format!("{}:{}", row.name, row.about))));
    }
    table.push("        'help:Print help of a command'\n    )".to_owned());
    table.push("    _describe -t commands command commands\n}\n".to_owned());

    table.push("# The options that all commands have.\n_runup_options=(".to_owned());
    table.extend(rows[0].options_of_all().iter().flat_map(|arg| option(&rows[0], arg)));
    table.push("    '(- *)'{-h,--help}'[Print help]'".to_owned());
    table.push("    '(- *)'{-V,--version}'[Print version]'\n)\n".to_owned());

    table.push("_runup_arguments() {\n    local -a specs\n    case $1 in".to_owned());
    table.push("    (help) specs=( '1:command:_runup_commands' ) ;;".to_owned());
    for row in rows {
        table.push(format!("    ({}) specs=(", row.name));
        table.extend(row.options().iter().flat_map(|arg| option(row, arg)));
        table.extend(arguments(row));
        table.push("    ) ;;".to_owned());
    }
    table.push("    esac\n    _arguments -s -S $_runup_options $specs\n}\n".to_owned());
    table.push("_runup \"$@\"".to_owned());
    let head = format!("#compdef {}\n", programs(rows).join(" "));
    head + include_str!("head.zsh") + &lines(&table)
}

fn arguments(row: &Row) -> Vec<String> {
    let (arguments, is_repeated) = row.arguments();
    let count = arguments.len();
    let spec = |(number, (value, name)): (usize, &(Value, String))| {
        let place = match is_repeated && number + 1 == count {
            true => "*".to_owned(),
            false => (number + 1).to_string(),
        };
        format!("    {}", quoted(&format!("{place}:{name}:{}", action(value))))
    };
    arguments.iter().enumerate().map(spec).collect()
}

/// One specification for each spelling of an option.
fn option(row: &Row, arg: &Arg) -> Vec<String> {
    let spellings = spellings(arg);
    let others = match repeats(arg) {
        true => "*".to_owned(),
        false => format!("({})", spellings.join(" ")),
    };
    let about = first_sentence(arg).replace('[', "\\[").replace(']', "\\]").replace(':', "\\:");
    let spec = |spelling: &String| {
        let mut spec = format!("{others}{spelling}[{about}]");
        if takes_value(arg) && !is_value_optional(arg) {
            let join = if spelling.starts_with("--") { "=" } else { "+" };
            let (name, action) = (value_name(arg), action(&row.value(arg)));
            spec = format!("{others}{spelling}{join}[{about}]:{name}:{action}");
        }
        format!("    {}", quoted(&spec))
    };
    spellings.iter().map(spec).collect()
}

fn action(value: &Value) -> String {
    match value {
        Value::Word(words) => return format!("({})", words.join(" ")),
        Value::Revision => "_runup_revisions",
        Value::TreePath => "_runup_tree_paths",
        Value::Project => "_runup_projects",
        Value::Job => "_runup_jobs",
        Value::Reference => "_runup_references",
        Value::File => "_files",
        Value::Directory => "_files -/",
        Value::Program => "_command_names -e",
        Value::Text => " ",
    }
    .to_owned()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

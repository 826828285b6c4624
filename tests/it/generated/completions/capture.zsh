# Prints what zsh offers at the end of a line: zsh -f capture.zsh DIRECTORY LINE, where the
# directory holds _runup and inside.zsh. A shell on a pseudo-terminal gets the line and a tab.
zmodload zsh/zpty
export CAPTURED=$(mktemp) TERM=dumb
zpty shell zsh -f -i
zpty -w shell "fpath=( ${(q)1} \$fpath ); source ${(q)1}/inside.zsh"
zpty -r -m shell seen '*READY*'
zpty -w -n shell "$2"$'\t'
while zpty -r shell seen; do :; done
cat $CAPTURED
rm $CAPTURED

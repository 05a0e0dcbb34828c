# PowerShell completion of git-dispatch.
# To install: git-dispatch completions powershell >> $PROFILE

Register-ArgumentCompleter -Native -CommandName 'git-dispatch' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { $_.ToString() })
    # An empty word would not reach a program in every version.
    $new = if ($wordToComplete -eq '') { @('--new') } else { @() }
    git-dispatch complete-words @new -- @words 2>$null | Where-Object { $_ -notmatch '^:(files|folders)$' } | ForEach-Object {
        $text, $about = $_ -split "`t", 2
        $tip = if ($about) { $about } else { $text }
        [System.Management.Automation.CompletionResult]::new($text, $text, 'ParameterValue', $tip)
    }
}

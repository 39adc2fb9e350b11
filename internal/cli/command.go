package cli

import "github.com/spf13/cobra"

// commands returns every command in the order of the help text.
func (s *session) commands() []*cobra.Command {
	return []*cobra.Command{
		s.runCommand(), s.copyCommand(), s.newCommand(), s.lintCommand(), s.explainCommand(), s.connectorsCommand(),
		s.testCommand(), s.previewCommand(), s.diffCommand(), s.deadCommand(),
		s.syncCommand(), s.gapsCommand(), s.statusCommand(), s.verifyCommand(), s.repairCommand(), s.tuneCommand(),
		s.importCommand(), s.exportCommand(), s.snapshotCommand(), s.schemaCommand(),
		s.exchangeCommand(), s.historyCommand(), s.docsCommand(), s.demoCommand(), s.simCommand(), s.versionCommand(),
	}
}

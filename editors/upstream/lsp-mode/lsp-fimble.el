;;; lsp-fimble.el --- lsp-mode client for fimble  -*- lexical-binding: t; -*-

;; Keywords: languages, tools

;;; Commentary:

;; Inline completions and code actions by a GGUF model in the server's own process: REPOSITORY.
;; `lsp-inline-completion-mode' shows them.

;;; Code:

(require 'lsp-mode)

(defgroup lsp-fimble nil
  "Code completion by a model on your own machine."
  :group 'lsp-mode
  :link '(url-link "REPOSITORY"))

(defcustom lsp-fimble-command '("fimble" "serve")
  "The command that starts the server."
  :type '(repeat string)
  :group 'lsp-fimble)

(defcustom lsp-fimble-modes
  '(prog-mode markdown-mode yaml-mode yaml-ts-mode conf-mode toml-ts-mode)
  "Modes, and modes that others derive from, in which the server runs."
  :type '(repeat symbol)
  :group 'lsp-fimble)

(defcustom lsp-fimble-settings nil
  "The server's settings as a property list, as in fimble.toml: (:max_lines 4)."
  :type 'plist
  :group 'lsp-fimble)

(lsp-register-client
 (make-lsp-client
  :new-connection (lsp-stdio-connection (lambda () lsp-fimble-command))
  :activation-fn (lambda (&rest _) (apply #'derived-mode-p lsp-fimble-modes))
  :add-on? t
  :priority -2
  :server-id 'fimble
  :initialization-options (lambda () lsp-fimble-settings)))

(lsp-consistency-check lsp-fimble)

(provide 'lsp-fimble)
;;; lsp-fimble.el ends here

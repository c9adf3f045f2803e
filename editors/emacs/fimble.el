;;; fimble.el --- Code completion by a model on your own machine  -*- lexical-binding: t; -*-

;; Tells eglot and lsp-mode of the language server `fimble', whichever of them is loaded.

;;; Code:

(defvar fimble-command '("fimble" "serve")
  "The command that starts the server.")

(defvar fimble-settings nil
  "The server's settings as a property list, as in fimble.toml: (:max_lines 4).")

(defvar fimble-modes
  '(python-mode python-ts-mode js-mode js-ts-mode typescript-mode typescript-ts-mode tsx-ts-mode
    java-mode java-ts-mode c-mode c-ts-mode c++-mode c++-ts-mode go-mode go-ts-mode rust-mode
    rust-ts-mode kotlin-mode scala-mode csharp-mode csharp-ts-mode swift-mode ruby-mode ruby-ts-mode
    php-mode lua-mode sh-mode bash-ts-mode sql-mode html-mode css-mode css-ts-mode json-mode json-ts-mode
    yaml-mode yaml-ts-mode toml-mode toml-ts-mode markdown-mode)
  "Modes in which `fimble' runs.")

;; eglot runs one server in a buffer: in these modes it is then fimble.
(with-eval-after-load 'eglot
  (defvar eglot-server-programs)
  (add-to-list 'eglot-server-programs (cons fimble-modes fimble-command))
  (when fimble-settings
    (setq-default eglot-workspace-configuration (list :fimble fimble-settings))))

;; lsp-mode runs it beside the others, and shows its inline completions.
(with-eval-after-load 'lsp-mode
  (declare-function lsp-register-client "lsp-mode")
  (declare-function make-lsp-client "lsp-mode")
  (declare-function lsp-stdio-connection "lsp-mode")
  (lsp-register-client
   (make-lsp-client
    :new-connection (lsp-stdio-connection (lambda () fimble-command))
    :major-modes fimble-modes
    :add-on? t
    :priority -2
    :server-id 'fimble
    :custom-capabilities '((experimental . ((fimble . ((notifications . ["suggestionGrew"]))))))
    :notification-handlers (let ((handlers (make-hash-table :test 'equal)))
                             (puthash "fimble/suggestionGrew" #'fimble--grew handlers)
                             handlers)
    :initialization-options (lambda () fimble-settings)))
  (add-hook 'lsp-inline-completion-cancelled-hook #'fimble--dismissed))

(declare-function lsp-get "lsp-protocol")
(declare-function lsp--buffer-uri "lsp-mode")
(declare-function lsp--position-to-point "lsp-mode")
(declare-function lsp-inline-completion--active-p "lsp-inline-completion")
(declare-function lsp-inline-completion--clear-overlay "lsp-inline-completion")
(declare-function lsp-inline-completion-display "lsp-inline-completion")
(defvar lsp--cur-version)
(defvar lsp-inline-completion--start-point)

(defvar-local fimble--dismissed-at nil
  "The version of the document and the point at which the user has dismissed a suggestion.")

(defun fimble--dismissed ()
  "Remember where a suggestion was dismissed."
  (setq fimble--dismissed-at (cons lsp--cur-version lsp-inline-completion--start-point)))

(defun fimble--grew (_workspace params)
  "Ask again for the suggestion at point: the server has more of it than what it answered.
PARAMS has the document, its version and the position."
  (let ((uri (lsp-get params :uri)) (version (lsp-get params :version)) (position (lsp-get params :position)))
    ;; Not here: this runs while a message is read, and the request waits for another one.
    (run-at-time 0 nil #'fimble--ask-again uri version position)))

(defun fimble--ask-again (uri version position)
  "Ask again if the user is still at POSITION of VERSION of the document URI, and has dismissed nothing there."
  (with-current-buffer (window-buffer)
    (when (and (bound-and-true-p lsp-inline-completion-mode)
               (equal uri (lsp--buffer-uri))
               (eql version lsp--cur-version))
      (let* ((shown (lsp-inline-completion--active-p))
             (at (if shown lsp-inline-completion--start-point (point))))
        (when (and (eql at (lsp--position-to-point position))
                   (not (equal fimble--dismissed-at (cons version at))))
          (when shown
            (lsp-inline-completion--clear-overlay)
            (goto-char at))
          (lsp-inline-completion-display 'implicit))))))

(declare-function eglot-current-server "eglot")
(declare-function jsonrpc-request "jsonrpc")
(declare-function lsp-find-workspace "lsp-mode")
(declare-function lsp-request "lsp-mode")
(defvar lsp--cur-workspace)

(defun fimble-why ()
  "Show what became of the last ten requests, and why nothing appeared."
  (interactive)
  (let ((command '(:command "fimble.why" :arguments [])))
    (cond
     ((bound-and-true-p lsp-mode)
      (let ((lsp--cur-workspace (or (lsp-find-workspace 'fimble) (user-error "There is no server of fimble here"))))
        (lsp-request "workspace/executeCommand" command)))
     ((and (fboundp 'eglot-current-server) (eglot-current-server))
      (jsonrpc-request (eglot-current-server) :workspace/executeCommand command))
     (t (user-error "There is no server of fimble here")))))

(provide 'fimble)
;;; fimble.el ends here

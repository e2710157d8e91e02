(function () {
	'use strict'

	var form = document.getElementById('speak')
	var text = form.querySelector('input')
	var line = document.getElementById('line')
	var heard = document.getElementById('heard')
	var socket, failures = 0

	function open() {
		socket = new WebSocket(form.dataset.chat)
		socket.onopen = function () { line.value = 'Online.' }
		socket.onmessage = function (event) {
			failures = 0
			hear(event.data)
		}
		socket.onclose = function () {
			line.value = 'Offline. It will be tried again.'
			setTimeout(open, pause())
		}
	}

	// 0.4 s, 0.8 s, ... 26 s, and up to a half more, so that not all come at once.
	function pause() {
		failures = Math.min(failures + 1, 7)
		return 200 * Math.pow(2, failures) * (1 + Math.random() / 2)
	}

	function hear(words) {
		var p = document.createElement('p')
		p.dir = 'auto'
		p.append(words)
		heard.insertBefore(p, heard.firstChild)
	}

	form.onsubmit = function () {
		var words = text.value
		if (words.trim() && socket.readyState === WebSocket.OPEN) {
			socket.send(words)
			text.value = ''
		}
		text.focus()
		return false
	}

	text.onkeydown = function (event) {
		return !(event.key === 'Enter' && (event.isComposing || event.keyCode === 229))
	}

	open()
})()

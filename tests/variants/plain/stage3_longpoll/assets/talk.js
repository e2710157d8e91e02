// What both doors need. A door calls `talk.listen` with how it sends.
var talk = (function () {
	'use strict'

	var form = document.getElementById('speak')
	var text = form.querySelector('input')
	var line = document.getElementById('line')
	var heard = document.getElementById('heard')
	var failures = 0
	var unsent = []

	function bringBack() {
		if (text.value === '' && unsent.length) text.value = unsent.shift()
	}

	text.onkeydown = function (event) {
		return !(event.key === 'Enter' && (event.isComposing || event.keyCode === 229))
	}

	return {
		address: form.dataset.chat,

		online: function () { line.value = 'Online.' },

		works: function () { failures = 0 },

		// 0.4 s, 0.8 s, ... 26 s, and up to a half more, so that not all come at once.
		fails: function (again) {
			failures = Math.min(failures + 1, 7)
			line.value = 'Offline. It will be tried again.'
			setTimeout(again, 200 * Math.pow(2, failures) * (1 + Math.random() / 2))
		},

		hear: function (words) {
			var p = document.createElement('p')
			p.dir = 'auto'
			p.append(words)
			heard.insertBefore(p, heard.firstChild)
		},

		// `send` returns whether it has taken the words.
		listen: function (send) {
			form.onsubmit = function () {
				var words = text.value
				if (words.trim() && send(words)) text.value = ''
				bringBack()
				text.focus()
				return false
			}
		},

		unsent: function (words) {
			unsent.push(words)
			bringBack()
			line.value = 'Not sent. Try again.'
		}
	}
})()
